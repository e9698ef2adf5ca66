"""Incoming: what vaults hold of one epoch past a position, and how much of it a standby may have.

A standby that replays what is later cut off can't go on, so it gets only WAL of which the promoter of a later
epoch can't miss a byte: what k vaults hold, what a chunk carries as confirmed, or what an opening record says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import RLock

from resilience.replication import chain as chains
from resilience.replication import lsn
from resilience.replication.chain import Chain
from resilience.replication.chunk import Header
from resilience.replication.trace import Leg

KEPT = 64 << 20
"""So far back a slower vault is told that it need not send a chunk again."""


class Incoming:
    """The chunks of one leg, as the vaults' readers find them."""

    def __init__(self, leg: Leg, position: int, wake: Callable[[], None]) -> None:
        self.leg = leg
        self.position = position
        """Everything before it was delivered."""
        self.confirmed = 0
        self.limit: int | None = None
        """Where a later epoch's opening record cut this leg; all before it is safe."""
        self.stopped: str | None = None
        """Why nothing is delivered from some position on, until that is put right or cut off."""
        self._stop: int | None = None
        self._wake = wake
        self._lock = RLock()
        self._held: dict[str, dict[int, Header]] = {}
        self._clean: dict[str, dict[int, Header]] = {}
        self._known: dict[int, Header] = {}
        self._last: Header | None = None
        """What was delivered last."""

    def known(self, start: int) -> Header | None:
        """The chunk that begins there, when any vault gave it whole."""
        with self._lock:
            return self._known.get(start)

    def holds(self, vault: str, header: Header) -> bool:
        """A vault holds this chunk; one that was delivered before the slowest vault was asked for it waits for nothing.

        False where another vault gave another one under that name: then nothing is delivered from there on.
        """
        with self._lock:
            known = self._known.setdefault(header.start, header)
            if known != header:
                at = lsn.show(header.start)
                self.refuse(
                    header.start, f"Two histories part at {at}: what {vault} holds is another chunk than elsewhere."
                )
                return False
            if self.end_of(header) > self.position:
                self._held.setdefault(vault, {})[header.start] = header
            self.confirmed = max(self.confirmed, header.confirmed)
        self._wake()
        return True

    def refuse(self, start: int, why: str) -> None:
        """Deliver nothing that begins there, or later."""
        with self._lock:
            if self._stop is None or start < self._stop:
                self._stop, self.stopped = start, why

    def doubtful(self, vault: str) -> bool:
        """Whether a vault gave a chunk that is not settled yet and that no look followed."""
        with self._lock:
            held, clean = self._held.get(vault, {}), self._clean.get(vault, {})
            bound = max(self.confirmed, self.limit or 0)
            return vault in self.leg.record.vaults and any(
                h.end > bound and h.start not in clean for h in held.values()
            )

    def looked(self, vault: str) -> None:
        """A vault showed no newer epoch after all its chunks were read that it is known to hold."""
        with self._lock:
            self._clean[vault] = dict(self._held.get(vault, {}))
        self._wake()

    def cut(self, end: int) -> None:
        """A later epoch opened with this as the leg's end; who goes on past one that never began may have found more."""
        with self._lock:
            self.limit = end
        self._wake()

    @property
    def frontier(self) -> int:
        """Where the furthest chunk that any vault gave ends."""
        with self._lock:
            return max((h.end for h in self._known.values()), default=self.position)

    @property
    def done(self) -> bool:
        """Whether all of a leg that was cut is delivered."""
        return self.limit is not None and self.position >= self.limit

    def deliverable(self) -> list[Header]:
        """Chunks that join at the position, as far as they may be delivered."""
        if self.done:  # else a chunk that reaches past the cut is taken for new each time
            return []
        with self._lock:
            record = self.leg.record
            chain = chains.merge(self.position, self._held, self.limit)
            self._refuse_unlinked(chain)
            clean = {name: self._clean.get(name, {}) for name in record.vaults}
            settled = chains.settled(chain, clean, record.vaults, record.k)
            bound = max(settled, min(self.confirmed, chain.end), self.limit or 0)
            headers = chain.headers if self._stop is None else [h for h in chain.headers if h.start < self._stop]
            return [header for header in headers if self.end_of(header) <= bound]

    def _refuse_unlinked(self, chain: Chain) -> None:
        """Where a chunk was made after another one than lies before it, neither is delivered: nobody knows whose they are."""
        last = () if self._last is None else (self._last,)
        for one, two in chains.unlinked(replace(chain, headers=(*last, *chain.headers))):
            if one.end == two.start:
                at = lsn.show(two.start)
                first = two if one is self._last else one
                self.refuse(
                    first.start,
                    f"Two histories part before {at}: its chunk was made after another one than lies there.",
                )

    def end_of(self, header: Header) -> int:
        """Where a chunk ends, as far as it counts."""
        return header.end if self.limit is None else min(header.end, self.limit)

    def delivered(self, header: Header) -> None:
        """This chunk was written for Postgres; forget what lies before it."""
        with self._lock:
            self.position = max(self.position, self.end_of(header))
            self._last = header
            for held in (*self._held.values(), *self._clean.values()):
                for start in [s for s, h in held.items() if h.end <= self.position]:
                    del held[start]
            for start in [s for s, h in self._known.items() if h.end <= self.position - KEPT]:
                del self._known[start]

    def waiting(self) -> float | None:
        """When the oldest WAL that is known and not delivered was written; None where there is none."""
        with self._lock:
            times = [h.at for held in self._held.values() for h in held.values()]
        return min(times, default=None)
