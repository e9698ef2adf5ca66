"""Assembly: the WAL of a history's legs, from all vaults, as segment files for Postgres to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from resilience.errors import BrokenChain, VaultError
from resilience.ports import Vault
from resilience.replication import chunk, lsn
from resilience.replication.chain import Chain
from resilience.replication.chunk import Header, Start
from resilience.replication.config import Config
from resilience.replication.gather import FETCHERS, Gathered
from resilience.replication.objects import Place
from resilience.replication.segments import Segments
from resilience.replication.trace import Leg

ROOM = 64 << 20
"""Bytes of opened WAL that are kept in memory."""
Part = tuple[Leg, Gathered, Chain]
"""A leg, what was fetched of it, and the chain that this makes."""


def assemble(
    config: Config,
    vaults: Mapping[str, Vault],
    legs: Sequence[Leg],
    segments: Segments,
    here: Place | None = None,
    looked_at: Place | None = None,
) -> list[Part]:
    """All legs, each to its limit or its proven end; BrokenChain where a piece is in no vault.

    Nothing but the chain is left in `segments`. Up to `here` a standby has it there already, and reads on: it is given the rest
    once that is known to be the chain. Its own copies heal what vaults lost; up to `looked_at` their signatures were looked at before.
    """
    sealed = config.sealed or config.record.vaults
    accept = lsn.parse(config.accept_end) if config.accept_end else None
    parts: list[Part] = []
    for leg, later in zip(legs, [*legs[1:], None], strict=True):
        gathered = Gathered(leg.record, vaults, sealed, config.paths.wal / "objects", looked_at)
        gathered.records.update(leg.records)
        gathered.within = here is None and leg.position != leg.start.start
        gathered.opened = any(before.opened for _, before, _ in parts)
        differ = partial(_differ, config.key(), gathered)
        opened = _Opened(config.key(), leg.start, here)
        arrived = partial(_arrived, segments, leg, config.key()) if here is None else opened.arrived
        chain = gathered.walk(leg.position, leg.limit, accept, arrived, differ)
        _refuse_end_before(leg, later, chain, accept)
        _write(segments, gathered, opened, _unwritten(gathered, chain, here), chain.end)
        parent = parts[-1][0].start.timeline if parts else 0
        if leg.start.timeline > max(1, parent):
            _branch(segments, leg, parent, parts[-1][2] if parts else None)
        if later is None or later.start.timeline != leg.start.timeline:  # else that one goes on in the same files
            segments.cut(leg.start.timeline, chain.end)
        parts.append((leg, gathered, chain))
    return parts


def _arrived(segments: Segments, leg: Leg, identity: str, header: Header, body: bytes) -> None:
    chunk.refuse_other(header, leg.start)
    wal, begin = chunk.open_body(header, body, identity), _begin(header, leg.start)
    if header.end > max(leg.position, begin):
        segments.write(header.timeline, begin, wal[begin - header.start :])


def _begin(header: Header, start: Start) -> int:
    """Where a chunk's WAL begins as far as it counts: what lies before its epoch's beginning is another one's."""
    return max(header.start, start.start)


class _Opened:
    """What came for a standby that reads on: opened, and kept until it is known to be the chain; in memory as far as that is little."""

    def __init__(self, identity: str, start: Start, here: Place | None) -> None:
        self._identity = identity
        self._start = start
        self._here = here or Place()
        self._wal: dict[Header, bytes] = {}
        self._room = ROOM
        self._proved = False

    def arrived(self, header: Header, body: bytes) -> None:
        """Open it; what the standby has was opened before, so that one of it proves the key."""
        chunk.refuse_other(header, self._start)
        lacked = Place(header.epoch, header.end) > self._here
        if lacked or not self._proved:
            wal = chunk.open_body(header, body, self._identity)
            self._proved = True
            if lacked and self._room >= header.size:
                self._room -= header.size
                self._wal[header] = wal

    def lacks(self, header: Header) -> int:
        """From where on the standby lacks this chunk: what it has it may still replay, and nothing is written over it."""
        return max(_begin(header, self._start), self._here.position if header.epoch == self._here.epoch else 0)

    def take(self, header: Header, gathered: Gathered) -> bytes:
        """The WAL of a chunk, opened once more where it was not kept."""
        wal = self._wal.pop(header, None)
        return wal or chunk.open_body(header, chunk.split(gathered.object(header))[1], self._identity)


def _unwritten(gathered: Gathered, chain: Chain, here: Place | None) -> list[Header]:
    """Chunks of the chain that are not in the segments yet, or that one which is none of it was written over."""
    if here is not None:
        return [header for header in chain.headers if Place(header.epoch, header.end) > here]
    strays = gathered.strays(chain)
    return [h for h in chain.headers if any(h.start < stray.end and stray.start < h.end for stray in strays)]


def _write(segments: Segments, gathered: Gathered, opened: _Opened, headers: Sequence[Header], end: int) -> None:
    """Write chunks, of each no more than lies before the chain's end: a standby's Postgres may read it at once."""

    def one(header: Header) -> None:
        begin = opened.lacks(header)
        segments.write(header.timeline, begin, opened.take(header, gathered)[begin - header.start : end - header.start])

    with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
        list(pool.map(one, headers))


def _refuse_end_before(leg: Leg, later: Leg | None, chain: Chain, accept: int | None) -> None:
    """VaultError where an end was accepted that a later epoch went on from: what it wrote can't be replayed over a hole."""
    if later is not None and chain.end == accept and chain.end != leg.limit:
        number, end = leg.record.number, lsn.show(chain.end)
        raise VaultError(
            f"Epoch {number} can't end at {end}: epoch {later.record.number} went on from {lsn.show(later.start.start)}.",
            "An end is accepted only where nothing follows it, and all that later epochs wrote follows this one.",
            f"Bring back a vault that holds what is missing, or give up all since then: resilience restore --site SITE --at {end} "
            f"--of {number} shows what that undoes.",
        )


def _branch(segments: Segments, leg: Leg, parent: int, before: Chain | None) -> None:
    if before is not None and before.end < leg.start.start:
        raise BrokenChain(
            f"WAL from {lsn.show(before.end)} to {lsn.show(leg.start.start)}, where epoch {leg.record.number} began",
            before.good_until,
            "Bring back a vault that holds it.",
        )
    segments.branch(leg.start.timeline, parent, leg.start.start if before else leg.position, leg.start.history)


def _differ(identity: str, gathered: Gathered, one: Header, two: Header) -> bool:
    """Whether two chunks say other bytes of the WAL that both hold."""
    begin, end = max(one.start, two.start), min(one.end, two.end)

    def shared(header: Header) -> bytes:
        wal = chunk.open_body(header, chunk.split(gathered.object(header))[1], identity)
        return wal[begin - header.start : end - header.start]

    return shared(one) != shared(two)
