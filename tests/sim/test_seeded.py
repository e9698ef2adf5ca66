"""A few seeds of what `scripts/bench failover --seeds` lives by the hundred."""

from __future__ import annotations

import random

import pytest

from tests.sim.fleets import ZONES, drawn, traits
from tests.sim.seeded import SERVED, fail_over


@pytest.mark.parametrize("seed", range(12))
def test_no_acknowledged_write_is_lost(seed: int) -> None:
    """Whatever the fleet, whatever happens on the way: it serves with every write, or too few vaults are left and it says so."""
    ended = fail_over(seed)
    assert ended.missing == 0
    assert ended.called_dead == 0
    assert ended.pictures_lost == ended.pictures_told
    assert ended.outcome == SERVED or ended.why.startswith("TooFewVaults")


def test_stories_lose_pictures_and_serve() -> None:
    """Of rows that are there, also where commits waited for vaults: their uploads were not done."""
    served = [fail_over(seed) for seed in range(12)]
    assert {"async", "quorum"} <= {trait for ended in served if ended.pictures_lost for trait in ended.fleet}


def test_the_same_seed_is_the_same_story() -> None:
    """What chance decides comes from the seed alone."""
    assert fail_over(5) == fail_over(5)


def test_fleets_differ() -> None:
    """What is drawn meets every kind that a fleet file may say, and quorums that always meet."""
    fleets = [drawn(random.Random(seed)) for seed in range(60)]
    assert {trait for fleet in fleets for trait in traits(fleet)} == {
        *("3 vaults", "4 vaults", "5 vaults", "async", "quorum", "hot", "cold", "locked", "companions")
    }
    for fleet in fleets:
        n, rules = len(fleet.vaults), fleet.replication
        assert rules.k + rules.s > n
        assert 2 * rules.s > n
    assert len({fleet.names.zones for fleet in fleets}) == len(ZONES)
