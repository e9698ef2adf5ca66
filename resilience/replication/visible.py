"""Which transactions a snapshot of Postgres sees, and where in the WAL exactly those are committed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from resilience.replication.commits import Commit

ROUND = 1 << 32
"""The WAL names transactions by so many numbers, again and again."""


@dataclass(frozen=True)
class Visible:
    """A snapshot as `pg_current_snapshot` says it: `xmin:xmax:xip,xip`."""

    below: int
    """All before this one had finished."""
    end: int
    """None from this one on had."""
    running: frozenset[int]
    """Of those between the ones that had not finished."""

    @classmethod
    def parse(cls, text: str) -> Visible:
        """ValueError for any other text."""
        below, end, running = text.split(":")
        return cls(int(below), int(end), frozenset(map(int, filter(None, running.split(",")))))

    def full(self, xid: int) -> int:
        """The whole number of a transaction of this time that the WAL names by its low 32 bits."""
        near = self.end - self.end % ROUND + xid
        return min((near - ROUND, near, near + ROUND), key=lambda number: abs(number - self.end))

    def sees(self, xid: int) -> bool:
        """Whether this transaction, named as the WAL does, had finished."""
        number = self.full(xid)
        return number < self.end and number not in self.running


@dataclass(frozen=True)
class Between:
    """No position shows what was seen: these had committed before others that were seen, and were not seen themselves."""

    unseen: frozenset[int]


def position(commits: Sequence[Commit], views: Collection[Visible], end: int) -> int | Between:
    """Where in the WAL exactly those are committed that every one of these snapshots sees; at most `end`, where they were taken.

    A transaction is seen a moment after its commit is in the WAL, and in a quorum only once the vaults have it: so a snapshot is
    mostly somewhat behind the WAL, and where nobody overtakes anybody the commits that it sees end where the first begins that it
    does not see.
    """
    seen = [[view.sees(commit.xid) for view in views] for commit in commits]
    first = next((at for at, by in enumerate(seen) if not all(by)), None)
    if first is None:
        return end
    if any(any(by) for by in seen[first:]):
        late = [commit for commit, by in zip(commits[first:], seen[first:], strict=True) if not all(by)]
        return Between(frozenset(view.full(commit.xid) for view in views for commit in late))
    return commits[first].position
