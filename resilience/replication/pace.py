"""When ship cuts the next chunk: what one PUT can carry, and who commits again in time to go along with it."""

from __future__ import annotations

GATHER_S = 0.2
"""While k vaults lack what there is, commits gather for one PUT; no longer than this."""
TOGETHER_S, TOGETHER_PART = 0.004, 0.1
"""Who was just told that a commit is held commits again within so long, or within so much of what vaults took. Cut before that, the next
chunk carries only those who came meanwhile, and each of two parties waits for the other's PUT as well as for its own."""


class Pace:
    """The moments of chunks, by a monotonic clock."""

    def __init__(self, spacing_s: float) -> None:
        self._spacing_s = spacing_s
        self._cut_at = 0.0
        self._held_at: float | None = 0.0  # nothing is on its way yet

    def cut(self, now: float) -> None:
        """A chunk was cut."""
        self._cut_at, self._held_at = now, None

    def hear(self, now: float, *, held: bool) -> None:
        """Whether k vaults have all that was cut."""
        if held and self._held_at is None:
            self._held_at = now

    def due(self) -> float:
        """When the next chunk is cut, where there is anything to put in it."""
        if self._held_at is None:
            return self._cut_at + max(self._spacing_s, GATHER_S)
        together = max(TOGETHER_S, TOGETHER_PART * (self._held_at - self._cut_at))
        return max(self._cut_at + self._spacing_s, self._held_at + min(together, GATHER_S))
