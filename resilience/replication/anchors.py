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
OTHER = "something else lies there"
SILENT = "it may not be called"


@dataclass(frozen=True, slots=True)
class Ledgers:
    """Epochs whose vaults may hold an entry that counts, the newest first."""

    records: tuple[EpochRecord, ...]
    unknown: int = 0
    """The epoch at which it could not be told any further, since no vault that answers shows it; 0: all are known."""


def leave(vaults: Mapping[str, Vault], record: EpochRecord, entries: int, sign: Sign, check: Verify) -> None:
    """Say in the vaults that so many entries came before this epoch; TooFewVaults unless k of its own hold that."""
    said = {"format": ANCHOR, "number": record.number, "nonce": record.nonce, "entries": entries}
    data = seals.canonical(seals.sign_json(said, sign))
    key = layout.anchor(record.number)
    answers = each(vaults, lambda vault: vault.put_new(key, data) or _is_one(vault.get(key), record, check))
    held = [name for name in record.vaults if answers.get(name) is True]
    if len(held) < record.k:
        others = {name: answers.get(name) for name in record.vaults if name not in held}
        why = [
            f"{name}: {answer.why if isinstance(answer, ResilienceError) else OTHER if answer is False else SILENT}"
            for name, answer in others.items()
        ]
        raise TooFewVaults(
            f"Only {len(held)} of {', '.join(record.vaults)} were told how many takedowns came before epoch {record.number}.",
            "; ".join(why),
            f"Nothing was opened. Bring a vault back, or remove what lies under {key} there with the operator's credentials, "
            "and run the same command again.",
        )


def _is_one(data: bytes | None, record: EpochRecord, check: Verify) -> bool:
    """Whether what lies there is such a word: a lower count stands, since what came later was nobody's to wait for."""
    return data is not None and _count(data, record, check) is not None


def read(vaults: Mapping[str, Vault], record: EpochRecord, check: Verify) -> int | None:
    """How many entries came before this epoch, as the operator said; None where no vault says so."""
    answers = each(vaults, lambda vault: vault.get(layout.anchor(record.number)))
    said = [_count(data, record, check) for data in answers.values() if isinstance(data, bytes)]
    return max((count for count in said if count is not None), default=None)


def _count(data: bytes, record: EpochRecord, check: Verify) -> int | None:
    """The count in what the operator signed of this very epoch; None where it is anything else."""
    said = seals.verified_json(data, check) or {}
    ours = (said.get("format"), said.get("number"), said.get("nonce")) == (ANCHOR, record.number, record.nonce)
    count = said.get("entries")
    return count if ours and isinstance(count, int) and not isinstance(count, bool) else None


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
