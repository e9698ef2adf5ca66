"""The epoch protocol, explored: every interleaving within the bounds, and wrong protocols that must be caught."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from tests.epochs import mutants
from tests.epochs.explore import explore
from tests.epochs.model import Model
from tests.epochs.normal import Normal
from tests.epochs.states import Bounds

CALM = Bounds(promoters=1, losses=0, ambiguous=0, restarts=0, more=0)
TWO = replace(CALM, promoters=2, at_once=True)
TWO_IDLE = replace(TWO, chunks=0)
TWO_LATE = replace(TWO_IDLE, held=1)
FOLLOWED = replace(CALM, follower=True, at_once=True)
CUT = replace(TWO_LATE, cut=0)
CHANGE = replace(CALM, change=True, sealed=True, at_once=True)
CHANGED = replace(CHANGE, chunks=0, held=1, sealed=False)
CROSSED = replace(CHANGE, chunks=0, more=1, promoters=2, sealed=False, crossed=True)
BOUNDS = {
    "a loss and an ambiguous request": (replace(CALM, losses=1, ambiguous=1), 6_681),
    "a loss and a restart": (replace(CALM, losses=1, restarts=1), 22_339),
    "two promoters": (TWO, 17_414),
    "two promoters, and an ambiguous request": (replace(TWO_LATE, ambiguous=1), 3_106),
    "two promoters, and both sites write": (replace(TWO_LATE, more=1), 4_148),
    "a follower": (FOLLOWED, 7_180),
    "another vault set, sealed half-way or whole": (replace(CHANGE, chunks=0, sealed=False), 818),
    "another vault set, sealed half-way or whole, and a loss": (replace(CHANGED, losses=1), 4_152),
    "another vault set, sealed half-way or whole, and an ambiguous request": (replace(CHANGED, ambiguous=1), 6_619),
    "another vault set, and a promoter": (CHANGE, 23_147),
    "another vault set, and a loss": (replace(CHANGE, losses=1), 95_523),
    "another set of two vaults, and an ambiguous request": (replace(CHANGE, n=2, k=1, ambiguous=1), 11_110),
    "another set of two vaults, and a restart": (replace(CHANGE, n=2, k=1, restarts=1), 22_650),
    "another set of two vaults, and two promoters": (replace(CHANGED, n=2, k=1, promoters=2), 16_249),
    "another vault set that met a promoter half-way, and another promoter": (CROSSED, 35_996),
    "an operator's cut, and a restart": (replace(CALM, cut=0, restarts=1, at_once=True), 6_079),
    "an operator's cut, and another promoter": (CUT, 747),
    "five vaults": (replace(CALM, n=5, k=3, s=3, losses=1, at_once=True), 4_342),
    "five vaults, and two promoters": (replace(TWO_LATE, n=5, k=3, s=3), 1_914),
}
"""Within which everything is explored, and how many states these have."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The product's code says what a lost vault does, thousands of times."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("name", BOUNDS)
def test_every_interleaving_keeps_the_rules(name: str, tmp_path: Path) -> None:
    """Nothing that was acknowledged is lost, nothing is past a recorded end, one site an epoch; in so many states."""
    bounds, states = BOUNDS[name]
    found = explore(Model(bounds, tmp_path))
    assert found.violation is None, [found.violation, *found.way]
    assert {"acknowledged", "superseded", "one promoted"} <= set(found.seen) or not bounds.chunks
    assert "acknowledged after a promotion" in found.seen or not bounds.more
    assert "one promoted after turning" in found.seen or not bounds.sealed
    assert {"a commit was cut off", "promoted after a cut"} <= set(found.seen) or bounds != CUT
    assert found.states == states


LITTLE = replace(CALM, n=2, k=1, s=2)
ALONE = {
    "a loss and an ambiguous request": replace(LITTLE, losses=1, ambiguous=1),
    "a restart": replace(LITTLE, restarts=1),
    "two promoters, and a restart": replace(LITTLE, chunks=0, promoters=2, restarts=1, at_once=True),
    "two promoters, and both sites write": replace(LITTLE, chunks=0, promoters=2, more=1, at_once=True),
    "a follower, and an ambiguous request": replace(LITTLE, follower=True, ambiguous=1, at_once=True),
    "another vault set": replace(LITTLE, chunks=0, change=True, at_once=True),
}
"""Small enough for two vaults to be explored without normal forms as well."""


@pytest.mark.parametrize("name", ALONE)
def test_what_is_left_out_changes_nothing(name: str, tmp_path: Path) -> None:
    """The normal forms of all states are the very states that are explored."""
    model = Model(ALONE[name], tmp_path)
    normal, full, reduced = Normal(model), explore(model, full=True), explore(model)
    assert {normal(state) for state in full.reached} == set(reduced.reached)
    assert reduced.states < full.states
    assert full.violation is None
    assert reduced.violation is None


MUTANTS = {
    mutants.LooksBeforeItPuts: (CALM, "is not in epoch 2"),
    mutants.PutsNothingAgain: (replace(CALM, losses=1), "fewer than k vaults"),
    mutants.DeliversWhatOneVaultHolds: (FOLLOWED, "follower"),
    mutants.DeliversWithoutALook: (FOLLOWED, "follower"),
    mutants.ResumesAnothersEpoch: (TWO_IDLE, "two sites"),
    mutants.TakesAnyRefusalForItsOwn: (replace(TWO_IDLE, k=1, s=3), "two sites"),
    mutants.TakesAConflictForItsOwn: (replace(CALM, losses=1, ambiguous=1), "is not in epoch 2"),
    mutants.CountsWhatItHandedOver: (replace(CALM, restarts=1), "is not in epoch 2"),
    mutants.PassesOverACut: (CUT, "cut off"),
    mutants.BelievesWhatMoreVaultsHold: (CROSSED, "is not in epoch 3"),
    mutants.QuorumsThatDoNotMeet: (replace(CALM, losses=1), "is not in epoch 2"),
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_wrong_protocol_is_caught(mutant: type[Model], tmp_path: Path) -> None:
    """Each has a state that breaks a rule, and the shortest way to it is told."""
    bounds, rule = MUTANTS[mutant]
    found = explore(mutant(bounds, tmp_path))
    print(f"{mutant.__name__}: {found.states} states; {found.violation}: {'; '.join(found.way)}")  # noqa: T201 - the counter-example
    assert found.violation is not None, f"not caught in {found.states} states"
    assert rule in found.violation
    assert found.way
