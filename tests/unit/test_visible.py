"""Snapshots and positions: where exactly what was seen is committed, or that there is no such place."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations, product

import pytest

from resilience.replication.commits import Commit, parse
from resilience.replication.visible import Between, Visible, position

SAID = """
rmgr: Transaction len (rec/tot):     34/    34, tx:        735, lsn: 0/0153C5E8, prev 0/0153C5A8, desc: COMMIT 2026-11-26 18:00:00.000000 UTC
rmgr: Transaction len (rec/tot):     34/    34, tx:        736, lsn: 0/0153C610, prev 0/0153C5E8, desc: ABORT 2026-11-26 18:00:00.000001 UTC
rmgr: Transaction len (rec/tot):     82/    82, tx:        740, lsn: 0/0153C7A0, prev 0/0153C610, desc: COMMIT 2026-11-26 18:00:00.1 UTC; subxacts: 741 742
rmgr: Transaction len (rec/tot):    300/   300, tx:        743, lsn: 0/0153C8A0, prev 0/0153C7A0, desc: PREPARE gid two: 2026-11-26 18:00:00.2 UTC
rmgr: Transaction len (rec/tot):     50/    50, tx:          0, lsn: A/0153C9A0, prev 0/0153C8A0, desc: COMMIT_PREPARED 743: 2026-11-26 18:00:00.3 UTC
first record is after 0/153C000, at 0/153C5A8, skipping over 1448 bytes
"""


def test_commits_are_read_from_what_pg_waldump_says() -> None:
    """Each by its own transaction, a prepared one by the one that wrote, and when that was; nothing else is a commit."""
    six = datetime(2026, 11, 26, 18, tzinfo=UTC).timestamp()
    assert parse(SAID) == [
        Commit(0x153C5E8, 735, six),
        Commit(0x153C7A0, 740, six + 0.1),
        Commit(0xA0153C9A0, 743, six + 0.3),
    ]


def test_whole_numbers_and_those_of_the_log() -> None:
    """A number of 32 bits is the one that is near, on either side of where they begin anew."""
    now = (7 << 32) + 5
    view = Visible.parse(f"{now - 10}:{now}:{now - 2}")
    assert view.full((1 << 32) - 1) == (7 << 32) - 1
    assert [view.sees(number & 0xFFFFFFFF) for number in (now - 11, now - 3, now - 2, now - 1, now, now + 3)] == [
        True,
        True,
        False,
        True,
        False,
        False,
    ]
    with pytest.raises(ValueError, match="unpack"):
        Visible.parse("1:2")


def test_every_order_of_commits_and_every_snapshot() -> None:
    """Where a position is told, exactly what all see is committed before it; where none is, there is none."""
    told = set()
    for order, one, other in product(permutations(range(4)), product((0, 1), repeat=4), ((1, 1, 1, 1), (0, 1, 1, 1))):
        commits = [Commit(10 * (at + 1), xid, 0.0) for at, xid in enumerate(order)]
        marks = (one, tuple(a & b for a, b in zip(one, other, strict=True)))
        views = [Visible(0, 4, frozenset(xid for xid in range(4) if not mark[xid])) for mark in marks]
        found = position(commits, views, 100)
        fits = [
            end
            for end in (10, 20, 30, 40, 100)
            if all(view.sees(commit.xid) == (commit.position < end) for view in views for commit in commits)
        ]
        if isinstance(found, Between):
            assert not fits
            assert found.unseen <= {xid for mark in marks for xid in range(4) if not mark[xid]}
            assert found.unseen
        else:
            assert fits == [found]
        told.add(type(found))
    assert told == {int, Between}
