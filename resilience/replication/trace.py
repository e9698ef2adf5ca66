"""Tracing: which epochs the history runs through, from a snapshot to the newest end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from resilience.errors import BrokenChain, VaultError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import chunk, layout, lsn
from resilience.replication import epoch as epochs
from resilience.replication.chunk import Opening, Start
from resilience.replication.config import Config
from resilience.replication.gather import read_record


@dataclass(frozen=True, slots=True)
class Leg:
    """One epoch's part of the history: its WAL from `position`, up to `limit` where a child cut it."""

    record: EpochRecord
    start: Start
    position: int
    limit: int | None
    records: Mapping[str, bytes]
    """Its start and opening records as objects, by key."""


def known_epochs(config: Config, vaults: Mapping[str, Vault]) -> dict[int, EpochRecord]:
    """All epochs up to ours: as configured, else as most vaults hold them."""
    known = {r.number: r.record() for r in (*config.parent_epochs, config.epoch)}
    for record in known.values():
        if not config.verify(epochs.payload(record), record.signature):
            raise VaultError(
                f"Epoch {record.number} in the configuration is not signed by the operator.",
                "Somebody altered it.",
                "Make the configuration again from the vaults.",
            )
    for number in range(1, config.record.number):
        if number not in known:
            answers = epochs.each(vaults, lambda vault, n=number: epochs.read(vault, n, config.verify))  # type: ignore[misc]
            found = Counter(a for a in answers.values() if isinstance(a, EpochRecord))
            if found:
                known[number] = found.most_common(1)[0][0]
    return known


def own_opening(config: Config, vaults: Mapping[str, Vault]) -> Opening | None:
    """The opening record of our own epoch, when an earlier run of ours got that far."""
    record = config.record
    answers = epochs.each(vaults, lambda vault: vault.get(layout.opening(record.number)))
    held = [chunk.decode_opening(a, record) for a in answers.values() if isinstance(a, bytes)]
    return next((opening for opening in held if opening is not None), None)


def legs(
    known: Mapping[int, EpochRecord],
    record: EpochRecord,
    vaults: Mapping[str, Vault],
    sealed: tuple[str, ...],
    position: int,
    limit: int | None,
) -> list[Leg]:
    """The legs from `position` to the end of `record`'s parent, oldest first."""
    found: list[Leg] = []
    number = record.parent
    while number:
        epoch = _epoch(known, number)
        start, starts = read_record(vaults, sealed, layout.first(number), lambda d, e=epoch: chunk.decode_start(d, e))  # type: ignore[misc]
        opening, openings = _opening(epoch, vaults, sealed, start)
        if start is not None:
            records = {
                key: data
                for key, held in ((layout.first(number), starts), (layout.opening(number), openings))
                for data in list(held.values())[:1]
            }
            found.insert(0, Leg(epoch, start, max(position, start.start), limit, records))
            if start.start <= position:
                return found
        if opening is not None:
            limit = opening.end
        number = epoch.parent
    if not found or found[0].position > position:
        begins = lsn.show(found[0].position) if found else "nowhere"
        raise BrokenChain(
            f"WAL from {lsn.show(position)} on; what was shipped begins {begins}",
            "the snapshot before this one",
            "Take an older snapshot, or bring back a vault that holds the WAL.",
        )
    return found


def _epoch(known: Mapping[int, EpochRecord], number: int) -> EpochRecord:
    if number not in known:
        raise VaultError(
            f"Epoch {number} is in no vault that answers.",
            "Without it nothing that its site signed can be believed.",
            "Give the record as one of parent_epochs.",
        )
    return known[number]


def _opening(
    epoch: EpochRecord, vaults: Mapping[str, Vault], sealed: tuple[str, ...], start: Start | None
) -> tuple[Opening | None, dict[str, bytes]]:
    """The opening record of an epoch; it must be there where the epoch shipped WAL after a parent."""
    if not epoch.parent:
        return None, {}
    opening, held = read_record(vaults, sealed, layout.opening(epoch.number), lambda d: chunk.decode_opening(d, epoch))
    if opening is None and start is not None:
        raise BrokenChain(
            f"the opening record of epoch {epoch.number}",
            f"the end of epoch {epoch.parent}",
            "Bring back a vault that holds it: without it nobody knows where the epoch before it ended.",
        )
    return opening, held
