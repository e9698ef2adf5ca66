"""Anchors: the operator's word how many ledger entries came before an epoch; and whose vaults must be asked for them.

A site that is opened hands the whole ledger over again, as it gets to it. Until its own vaults list all that came
before, what the vaults of older epochs hold counts on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from resilience.errors import ResilienceError, TooFewVaults
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import layout, seals
from resilience.replication.epoch import each, numbered
from resilience.replication.seals import Sign, Verify

ANCHOR = "resilience-anchor/1"


@dataclass(frozen=True, slots=True)
class Ledgers:
    """Epochs whose vaults may hold an entry that counts, the newest first."""

    records: tuple[EpochRecord, ...]
    unknown: int = 0
    """The epoch at which it could not be told any further, since no vault that answers shows it; 0: all are known."""


def leave(vaults: Mapping[str, Vault], record: EpochRecord, entries: int, sign: Sign) -> None:
    """Say in the vaults that so many entries came before this epoch; TooFewVaults unless k of its own hold that."""
    said = {"format": ANCHOR, "number": record.number, "nonce": record.nonce, "entries": entries}
    data = seals.canonical(seals.sign_json(said, sign))
    key = layout.anchor(record.number)
    answers = each(vaults, lambda vault: vault.put_new(key, data) or vault.get(key) is not None)
    held = [name for name in record.vaults if answers.get(name) is True]
    if len(held) < record.k:
        why = [f"{name}: {a.why}" for name in record.vaults if isinstance(a := answers.get(name), ResilienceError)]
        raise TooFewVaults(
            f"Only {len(held)} of {', '.join(record.vaults)} were told how many takedowns came before epoch {record.number}.",
            "; ".join(why) or "The others may not be called.",
            "Nothing was opened. Bring a vault back and run the same command again.",
        )


def read(vaults: Mapping[str, Vault], record: EpochRecord, check: Verify) -> int | None:
    """How many entries came before this epoch, as the operator said; None where no vault says so."""
    answers = each(vaults, lambda vault: vault.get(layout.anchor(record.number)))
    said = [seals.verified_json(data, check) for data in answers.values() if isinstance(data, bytes)]
    ours = (ANCHOR, record.number, record.nonce)
    counts = [
        one.get("entries") for one in said if one and (one.get("format"), one.get("number"), one.get("nonce")) == ours
    ]
    return max((count for count in counts if isinstance(count, int)), default=None)


def of_number(
    vaults: Mapping[str, Vault], number: int, check: Verify, known: Sequence[EpochRecord] = ()
) -> list[EpochRecord]:
    """All epochs of one number, as these vaults show them or as they are known."""
    return list(
        dict.fromkeys((*numbered(vaults, number, check), *(record for record in known if record.number == number)))
    )


def to_ask(
    vaults: Mapping[str, Vault],
    keys: Iterable[str],
    newest: int,
    check: Verify,
    known: Sequence[EpochRecord] = (),
) -> Ledgers:
    """Whose vaults may hold an entry that counts: back from epoch `newest` to one whose own ledger holds all before it."""
    listed = [(int(named["epoch"]), int(named["seq"])) for key in keys if (named := layout.ENTRY.fullmatch(key))]
    found: list[EpochRecord] = []
    for number in range(newest, 0, -1):
        records = of_number(vaults, number, check, known)
        if not records:
            return Ledgers(tuple(found), number)
        found += records
        if any(_holds_all(vaults, listed, record, check, known) for record in records):
            break
    return Ledgers(tuple(found))


def _holds_all(
    vaults: Mapping[str, Vault],
    listed: Sequence[tuple[int, int]],
    record: EpochRecord,
    check: Verify,
    known: Sequence[EpochRecord],
) -> bool:
    """Whether what is listed under this epoch, or those under which its host began, is all that came before it."""
    if not record.parent:
        return True
    entries = read(vaults, record, check)
    if entries is None:
        return False
    began = record.number
    while any(
        (older.site, older.signer) == (record.site, record.signer)
        for older in of_number(vaults, began - 1, check, known)
    ):
        began -= 1
    own = {seq for epoch, seq in listed if began <= epoch <= record.number}
    return own.issuperset(range(1, entries + 1))


def too_few(ledgers: Ledgers, listing: Iterable[str]) -> str:
    """Why an acknowledged entry could be missed where only these vaults list the ledger; empty where none can."""
    there = set(listing)
    for record in ledgers.records:
        seen = [name for name in record.vaults if name in there]
        if len(seen) < len(record.vaults) - record.k + 1:
            return (
                f"{len(seen)} vaults of epoch {record.number} list the ledger, and an entry that {record.k} of "
                f"{', '.join(record.vaults)} hold could be missed"
            )
    if ledgers.unknown:
        return f"no vault that answers shows epoch {ledgers.unknown}, so it is not known where its entries lie"
    return ""
