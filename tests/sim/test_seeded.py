"""A few seeds of what `scripts/bench failover --seeds` lives by the hundred."""

from __future__ import annotations

import pytest

from tests.sim.seeded import SERVED, fail_over


@pytest.mark.parametrize("seed", range(12))
def test_no_acknowledged_write_is_lost(seed: int) -> None:
    """Whatever happens on the way: it serves with every write, or it stopped and says why."""
    ended = fail_over(seed)
    assert ended.missing == 0
    assert ended.called_dead == 0
    assert ended.outcome == SERVED or ended.why


def test_the_same_seed_is_the_same_story() -> None:
    """What chance decides comes from the seed alone."""
    assert fail_over(5) == fail_over(5)
