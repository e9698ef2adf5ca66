"""Put back into a vault what the operator once put into every one, where it was emptied or did not answer then.

An object is written once, so an altered one would be there for good: only what its name, or the operator's signature, proves is put.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import structlog

from resilience.engine.mirror import NAMED_BY_CONTENT, plain
from resilience.errors import ResilienceError, VaultError
from resilience.ports import Vault
from resilience.replication import anchors, layout, proof, seals, states, travelling
from resilience.replication import epoch as epochs
from resilience.replication.epoch import each
from resilience.replication.listed import TRIES
from resilience.replication.manifest import PREFIX, Manifest
from resilience.replication.originals import read_good
from resilience.replication.seals import Verify

KINDS = (layout.EPOCH, layout.STATE, layout.VERIFIED, travelling.PREFIX, "supplies/")
"""All but what `spread` gives (orders), what is copied (pictures, ledger), and what a host's programs put."""
WORD = re.compile(r"epoch/(?P<number>\d{8})\.(?P<kind>sealed|ledger)", re.ASCII)
"""What the operator said of an epoch; that a vault was filled is said of that one alone."""
FORMATS = {"sealed": epochs.SEALED, "ledger": anchors.ANCHOR}
Good = Callable[[bytes], bool]
log = structlog.get_logger()


def put_back(vaults: Mapping[str, Vault], name: str, check: Verify) -> int:
    """Give this vault what the others list of that and it does not; how many objects. Epochs in their order, for ships look one number ahead."""
    listed = each(vaults, lambda vault: {key for kind in KINDS for key in vault.list(kind)})
    own = listed[name]
    if isinstance(own, ResilienceError):
        raise own
    told = {other: keys for other, keys in listed.items() if not isinstance(keys, ResilienceError)}
    lacking = sorted({key for keys in told.values() for key in keys if plain(key)} - own)
    return sum(vaults[name].put_new(key, data) for key, data in _each(vaults, told, lacking, check))


def _each(
    vaults: Mapping[str, Vault], told: Mapping[str, set[str]], keys: list[str], check: Verify
) -> Iterator[tuple[str, bytes]]:
    """One object after the other, so that no more than one is in memory."""
    doubts = Counter[str]()
    for key in keys:
        if (number := layout.epoch_number(key)) is not None:
            record = next(iter(epochs.numbered(vaults, number, check)), None)  # of several the one that counts
            data = None if record is None else epochs.encode(record)
        elif (good := _proof_of(key, vaults, check)) is not None:
            holders = [vaults[name] for name, listed in told.items() if key in listed and doubts[name] < TRIES]
            data = _read(holders, key, good, doubts)
        else:
            continue
        if data is not None:
            yield key, data


def _proof_of(key: str, vaults: Mapping[str, Vault], check: Verify) -> Good | None:
    """Tells whether an object is what the operator put under this name; None where none is ever called so."""
    if content := NAMED_BY_CONTENT.fullmatch(key):
        return lambda data: hashlib.sha256(data).hexdigest() == content["sha256"]
    if word := WORD.fullmatch(key):
        return _word(FORMATS[word["kind"]], int(word["number"]), vaults, check)
    if layout.state_at(key) is not None:
        return lambda data: states.is_kept(key, data, check)
    if key.startswith(layout.VERIFIED):
        return lambda data: (said := proof.decode(data, check)) is not None and key == proof.name(said)
    if travelling.NAMED.fullmatch(key):
        return lambda data: isinstance(travelling.decode(check, key, data), travelling.Bundle)
    if key.startswith(PREFIX):
        return lambda data: (said := Manifest.from_bytes(data, check)) is not None and key == said.key
    return None


def _word(form: str, number: int, vaults: Mapping[str, Vault], check: Verify) -> Good:
    """Tells whether the operator said this of the epoch of that number that counts."""
    nonces = [record.nonce for record in epochs.numbered(vaults, number, check)[:1]]

    def good(data: bytes) -> bool:
        said = seals.verified_json(data, check) or {}
        return (said.get("format"), said.get("number")) == (form, number) and said.get("nonce") in nonces

    return good


def _read(holders: list[Vault], key: str, good: Good, doubts: Counter[str]) -> bytes | None:
    """From the first that gives it as it was put; None where it is altered in all, or was never put: anybody lists names."""
    silent: ResilienceError | None = None
    for vault in holders:
        try:
            found = read_good(vault, key, lambda data: good(data) or None)
        except ResilienceError as error:
            silent = error
            continue
        if isinstance(found, tuple):
            return found[0]
        doubts[vault.name] += 1
        log.warning("an object is not put back from there", vault=vault.name, key=key)
    if silent is not None:
        raise VaultError(
            f"{key} can't be put back", f"No vault gives it: {silent.what}", "Bring one back, and run this again."
        )
    return None
