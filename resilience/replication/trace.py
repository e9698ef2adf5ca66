"""Tracing: which epochs the history runs through, from a snapshot to the newest end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from resilience.errors import BrokenChain, VaultError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import chunk, layout, lsn
from resilience.replication import epoch as epochs
from resilience.replication.chunk import Opening, Start
from resilience.replication.config import Config
from resilience.replication.gather import read_record
from resilience.replication.label import Label

log = structlog.get_logger()


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
    """All epochs up to ours: as configured, else as the vaults show them."""
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
            known.update((record.number, record) for record in epochs.numbered(vaults, number, config.verify)[:1])
    return known


def own_opening(config: Config, vaults: Mapping[str, Vault]) -> Opening | None:
    """The opening record of our own epoch, when an earlier run of ours got that far."""
    record = config.record
    answers = epochs.each(vaults, lambda vault: vault.get(layout.opening(record.number)))
    held = [chunk.decode_opening(a, record) for a in answers.values() if isinstance(a, bytes)]
    return next((opening for opening in held if opening is not None), None)


def child_of(record: EpochRecord) -> EpochRecord:
    """Stands for an epoch that goes on from all of this one."""
    return replace(record, number=record.number + 1, parent=record.number)


def back(
    known: Mapping[int, EpochRecord],
    record: EpochRecord,
    vaults: Mapping[str, Vault],
    sealed: tuple[str, ...],
    limit: int | None,
) -> Iterator[Leg]:
    """The whole legs of the history that `record` goes on from, newest first.

    From which epoch one went on, and up to where, its opening record says: usually from its parent.
    """
    number = record.parent
    while number:
        epoch = _epoch(known, number)
        start, starts = beginning(epoch, vaults, sealed)
        opening, openings = _opening(epoch, vaults, sealed, start)
        if start is not None:
            records = {
                key: data
                for key, held in ((layout.first(number), starts), (layout.opening(number), openings))
                for data in list(held.values())[:1]
            }
            yield Leg(epoch, start, start.start, limit, records)
        if opening is not None and (start is not None or limit is None):
            limit = opening.end  # who went on past an epoch that never began has said where
        number = epoch.parent if opening is None else opening.parent


def legs(
    known: Mapping[int, EpochRecord],
    record: EpochRecord,
    vaults: Mapping[str, Vault],
    sealed: tuple[str, ...],
    position: int,
    limit: int | None,
) -> list[Leg]:
    """The legs from `position` to the end of what `record` goes on from, oldest first."""
    found: list[Leg] = []
    for leg in back(known, record, vaults, sealed, limit):
        found.insert(0, replace(leg, position=max(position, leg.position)))
        if leg.position <= position:
            return found
    if not found or found[0].position > position:
        begins = lsn.show(found[0].position) if found else "nowhere"
        raise BrokenChain(
            f"WAL from {lsn.show(position)} on; what was shipped begins {begins}",
            "the snapshot before this one",
            "Take an older snapshot, or bring back a vault that holds the WAL.",
        )
    return found


def astray(found: Sequence[Leg], label: Label) -> bool:
    """Whether a snapshot is none of this history: its timeline was left, or cut, before it was complete, or never taken."""
    timelines = {leg.start.timeline: leg.start.start for leg in reversed(found)}
    limits = [leg.limit for leg in found if leg.start.timeline == label.branch]
    cut = all(limit is not None and limit < label.stop for limit in limits)
    return cut or any(timeline > label.branch and start < label.stop for timeline, start in timelines.items())


def _epoch(known: Mapping[int, EpochRecord], number: int) -> EpochRecord:
    if number not in known:
        raise VaultError(
            f"Epoch {number} is in no vault that answers.",
            "Without it nothing that its site signed can be believed.",
            "Give the record as one of parent_epochs.",
        )
    return known[number]


def beginning(
    epoch: EpochRecord, vaults: Mapping[str, Vault], sealed: tuple[str, ...]
) -> tuple[Start | None, dict[str, bytes]]:
    """The start record of an epoch, and who holds it; None where nothing was shipped.

    Where nobody opened the epoch, that is so whatever a thief put under the record's name.
    """
    try:
        return read_record(vaults, sealed, epoch, layout.first(epoch.number), lambda d: chunk.decode_start(d, epoch))
    except BrokenChain as error:
        if not epoch.parent or _read_opening(epoch, vaults, sealed)[0] is not None:
            raise
        log.warning("an epoch that nobody opened is passed over", epoch=epoch.number, what=error.what)
        return None, {}


def _read_opening(
    epoch: EpochRecord, vaults: Mapping[str, Vault], sealed: tuple[str, ...]
) -> tuple[Opening | None, dict[str, bytes]]:
    key = layout.opening(epoch.number)
    return read_record(vaults, sealed, epoch, key, lambda d: chunk.decode_opening(d, epoch))


def _opening(
    epoch: EpochRecord, vaults: Mapping[str, Vault], sealed: tuple[str, ...], start: Start | None
) -> tuple[Opening | None, dict[str, bytes]]:
    """The opening record of an epoch; it must be there where the epoch shipped WAL after a parent."""
    if not epoch.parent:
        return None, {}
    opening, held = _read_opening(epoch, vaults, sealed)
    if opening is None and start is not None:
        raise BrokenChain(
            f"the opening record of epoch {epoch.number}",
            f"the end of epoch {epoch.parent}",
            "Bring back a vault that holds it: without it nobody knows where the epoch before it ended.",
        )
    return opening, held
