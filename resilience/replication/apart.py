"""Pictures kept apart: the payload in a locked vault, the header that opens it where nothing stays locked for long.

An age file is a header, which holds the file's own key sealed to the recipients, and a payload under that key. Whoever
has only the payload has noise, with every identity of the fleet; so a picture whose headers are gone is gone, also
where its payload can't be removed yet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import structlog

from resilience.errors import ResilienceError, VaultError
from resilience.ports import Vault
from resilience.replication import layout, seals
from resilience.replication.epoch import each
from resilience.replication.originals import first_good, read_good

log = structlog.get_logger()
MAGIC = b"age-encryption.org/v1\n"
"""How a header begins; `seals.LAST_LINE` is how its last line does."""


class Apart(NamedTuple):
    """One sealed picture in two parts."""

    picture: str
    header: bytes
    payload: bytes

    @property
    def sha256(self) -> str:
        """Of the payload: what both names say."""
        return hashlib.sha256(self.payload).hexdigest()


class Owed(NamedTuple):
    """What a vault is to be given."""

    copies: list[str]
    """Objects as they are elsewhere."""
    whole: list[str]
    """Pictures that lie elsewhere as one object, of which it gets the payload."""


def split(picture: str, sealed: bytes) -> Apart:
    """A sealed picture in two; put one behind the other they are the same file again."""
    last = sealed.find(seals.LAST_LINE)
    end = sealed.find(b"\n", last + 1) + 1
    if not sealed.startswith(MAGIC) or last < 0 or not end:
        raise VaultError(
            f"The sealed picture {picture} is no age file.", "Its header has no end.", "Another vault's copy may do."
        )
    return Apart(picture, sealed[:end], sealed[end:])


def cut(picture: str, holders: Iterable[Vault]) -> Apart | None:
    """A whole picture in two, from the first vault that has an age file under its name, as it is or as it was put first.

    None where nobody has one; VaultError where one may be in a vault that does not answer.
    """
    key, told = layout.media(picture), []
    for vault in holders:
        try:
            found = read_good(vault, key, partial(_cut, picture))
        except ResilienceError as error:
            told.append(f"{vault.name}: {error.why}")
            continue
        if isinstance(found, tuple):
            return found[1]
        log.warning("a picture is no age file, or gone", vault=vault.name, name=picture)
    if told:
        why = "Bring back a vault that holds it, and run this again."
        raise VaultError(f"{key} can't be copied", "; ".join(told), why)
    return None


def _cut(picture: str, sealed: bytes) -> Apart | None:
    try:
        return split(picture, sealed)
    except VaultError:
        return None


def joined(
    picture: str, payloads: Sequence[Vault], headers: Sequence[Vault], opened: Callable[[bytes], bytes | None]
) -> bytes | None:
    """What a payload and its header open to, whichever of the vaults have them; None where no pair opens."""
    vaults = {vault.name: vault for vault in (*payloads, *headers)}
    answers = each(vaults, lambda vault: vault.list(layout.parts(picture)))
    listed = {key for keys in answers.values() if not isinstance(keys, ResilienceError) for key in keys}
    for sha256 in sorted({part.payload for key in listed if (part := layout.part(key))}):
        payload = first_good(payloads, layout.payload(picture, sha256), partial(_named, sha256))
        if payload is None:
            continue
        plain = first_good(headers, layout.header(picture, sha256), partial(_behind, payload, opened))
        if plain is not None:
            return plain
    return None


def _named(sha256: str, data: bytes) -> bytes | None:
    return data if hashlib.sha256(data).hexdigest() == sha256 else None


def _behind(payload: bytes, opened: Callable[[bytes], bytes | None], header: bytes) -> bytes | None:
    return opened(header + payload)


def openable(keys: Iterable[str], headers: Iterable[str]) -> set[str]:
    """Pictures that a vault with these objects gives back, by the headers that all vaults have. Pure."""
    there = frozenset(headers)
    return {
        layout.picture(key)
        for key in keys
        if (part := layout.part(key)) is None
        or (not part.is_header and layout.header(part.picture, part.payload) in there)
    }


def owed(name: str, listed: Mapping[str, frozenset[str]], apart: frozenset[str]) -> Owed:
    """What one vault lacks of what the others list: whole pictures and headers, or payloads alone. Pure."""
    has = listed[name]
    elsewhere = frozenset().union(*(keys for other, keys in listed.items() if other != name)) - has
    parts = {key: layout.part(key) for key in elsewhere}
    if name not in apart:
        return Owed(sorted(key for key, part in parts.items() if part is None or part.is_header), [])
    payloads = {key for key, part in parts.items() if part and not part.is_header}
    whole = {key for key in parts if layout.is_whole(key)}
    there = openable(has | payloads, frozenset().union(*listed.values()))
    ledger = {key for key in parts if key.startswith(layout.LEDGER)}
    return Owed(sorted(ledger | payloads), sorted(key for key in whole if layout.picture(key) not in there))


def give(kept: Apart, vault: Vault, keepers: Iterable[Vault]) -> bool:
    """Put the header into each of these vaults, then the payload into the one that is locked."""
    for keeper in keepers:
        keeper.put_new(layout.header(kept.picture, kept.sha256), kept.header)
    return vault.put_new(layout.payload(kept.picture, kept.sha256), kept.payload)
