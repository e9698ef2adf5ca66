"""point: up to where a restore to a moment goes, and what it cuts off; vaults are only read.

A position is taken as it is. A time is the end of the last chunk that was whole by then: never later, and one
batch earlier at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from resilience.errors import NoSnapshot, Refused
from resilience.model import EpochRecord, Point
from resilience.ports import Vault
from resilience.replication import chunk, layout, lsn
from resilience.replication import epoch as epochs
from resilience.replication import label as labels
from resilience.replication.chunk import Header
from resilience.replication.config import Config
from resilience.replication.forward import Forward
from resilience.replication.originals import as_put, first_good
from resilience.replication.patient import sounded_out
from resilience.replication.scratch import Moment, reach
from resilience.replication.trace import Leg, back, child_of


def main(config: Config, at: str | None, of: int | None) -> dict[str, Any]:
    """The point, as JSON."""
    moment = Moment.parse(at)
    vaults = as_put(sounded_out(config.open()))
    forward = Forward(config, vaults)
    forward.look()
    newest, child = child_of(forward.newest), child_of(forward.record(of))
    here = next(_legs(config, vaults, forward, newest), None)
    end = None if here is None else here.last()
    if here is None or end is None:
        raise NoSnapshot("No vault holds any WAL.", "Nothing was ever shipped.", "See `resilience status`.")
    found = _found(_legs(config, vaults, forward, child), moment)
    if found is None or (of is None and found[1] >= end.end):
        raise _outside(at, end)
    leg, position, reached = found
    point = Point(
        epoch=leg.record.number,
        lsn=lsn.show(position),
        at=reached,
        snapshot=_snapshot(config, vaults, forward, child, Moment(position=position)),
        end_epoch=here.leg.record.number,
        end_lsn=lsn.show(end.end),
        end_at=end.at,
    )
    return asdict(point)


class Chunks:
    """The chunks of one leg, read one at a time."""

    def __init__(self, vaults: Mapping[str, Vault], leg: Leg) -> None:
        self.leg = leg
        self._vaults = vaults
        listed = epochs.each(vaults, lambda vault: vault.list(layout.wal(leg.record.number)))
        keys = {key for keys in listed.values() if isinstance(keys, list) for key in keys}
        starts = sorted(start for key in keys if (start := layout.chunk_start(key)) is not None)
        self._starts = [s for s in starts if leg.limit is None or s < leg.limit]

    def last(self) -> Header | None:
        """The newest one that can be read."""
        return next((found for start in reversed(self._starts) if (found := self._read(start))), None)

    def by(self, moment: Moment) -> Header | None:
        """The chunk that holds the position, or else the last one that was whole at that time."""
        low, high, found = 0, len(self._starts), None
        while low < high:
            middle = (low + high) // 2
            header = self._read(self._starts[middle])
            if header is None:
                self._starts.pop(middle)
                high -= 1
            elif _before(header, moment):
                low, found = middle + 1, header
            else:
                high = middle
        return found

    def _read(self, start: int) -> Header | None:
        """Its header, from any vault that has it whole."""
        record, key = self.leg.record, layout.chunk(self.leg.record.number, start)

        def decode(data: bytes) -> Header | None:
            said = chunk.decode(data, record)
            return said[0] if said is not None and said[0].start == start else None

        return first_good(self._vaults.values(), key, decode)


def _before(header: Header, moment: Moment) -> bool:
    """Whether the moment is not before this chunk: it begins before the position, or was whole at the time."""
    if moment.position is not None:
        return header.start < moment.position
    return moment.at is None or header.at <= moment.at


def _legs(config: Config, vaults: Mapping[str, Vault], forward: Forward, child: EpochRecord) -> Iterator[Chunks]:
    """The legs of a history that hold any WAL, newest first."""
    sealed = config.sealed or tuple(vaults)
    for leg in back(forward.known, child, vaults, sealed, None):
        held = Chunks(vaults, leg)
        if held.last() is not None:
            yield held


def _found(history: Iterator[Chunks], moment: Moment) -> tuple[Leg, int, float] | None:
    """The leg, the position in it, and until when; None where the history does not reach there."""
    for held in history:
        header, limit = held.by(moment), held.leg.limit
        if header is None or (moment.position is not None and moment.position <= held.leg.start.start):
            continue
        end = header.end if limit is None else min(header.end, limit)
        if moment.position is not None and moment.position > end:
            return None
        return held.leg, moment.position or end, header.at
    return None


def _snapshot(config: Config, vaults: Mapping[str, Vault], forward: Forward, child: EpochRecord, moment: Moment) -> str:
    """The snapshot that a restore to there begins with."""
    for group in labels.find(config.labelled(vaults), forward.known, config.verify):
        if moment.after(group[0]) and reach(config, vaults, forward, child, group[0], moment) is not None:
            return group[0].key
    raise NoSnapshot(
        f"No vault holds a snapshot from before {lsn.show(moment.position or 0)} that can be used.",
        "A restore begins with one.",
        "Ask for a later moment, or bring back a vault that holds an older snapshot.",
    )


def _outside(at: str | None, end: Header) -> Refused:
    return Refused(
        f"{at or 'That epoch'} is not within what the vaults hold.",
        f"They end at {lsn.show(end.end)}, and what was before their first chunk, or was never shipped, is not there.",
        "Look what is there: resilience restore --into DIR --at TIME|LSN",
    )
