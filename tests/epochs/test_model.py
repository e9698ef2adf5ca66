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
from tests.epochs.states import Bounds

CALM = Bounds(promoters=1, losses=0, ambiguous=0, restarts=0, more=0)
TWO_IDLE = replace(CALM, promoters=2, chunks=0, at_once=True)
FOLLOWED = replace(CALM, follower=True, at_once=True)
CUT = replace(TWO_IDLE, held=1, cut=0)
BOUNDS = {
    "a loss and an ambiguous request": replace(CALM, losses=1, ambiguous=1),
    "a loss and a restart": replace(CALM, losses=1, restarts=1),
    "the promoted site goes on": replace(CALM, losses=1, more=1),
    "two promoters": replace(CALM, promoters=2, at_once=True),
    "a follower": FOLLOWED,
    "another vault set, sealed half-way or whole": replace(CALM, chunks=0, change=True, at_once=True),
    "another vault set, and a promoter": replace(CALM, change=True, sealed=True, at_once=True),
    "an operator's cut, and a restart": replace(CALM, cut=0, restarts=1, at_once=True),
    "an operator's cut, and another promoter": CUT,
    "five vaults": replace(CALM, n=5, k=3, s=3, losses=1, at_once=True),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The product's code says what a lost vault does, thousands of times."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("name", BOUNDS)
def test_every_interleaving_keeps_the_rules(name: str, tmp_path: Path) -> None:
    """Nothing that was acknowledged is lost, nothing is past a recorded end, one site an epoch."""
    found = explore(Model(BOUNDS[name], tmp_path))
    print(f"{name}: {BOUNDS[name]}: {found.states} states, {found.steps} steps; {dict(found.seen)}")  # noqa: T201 - what was covered
    assert found.violation is None, [found.violation, *found.way]
    assert {"acknowledged", "superseded", "one promoted"} <= set(found.seen) or not BOUNDS[name].chunks
    assert {"a commit was cut off", "promoted after a cut"} <= set(found.seen) or BOUNDS[name] != CUT


MUTANTS = {
    mutants.LooksBeforeItPuts: (CALM, "is not in epoch 2"),
    mutants.PutsNothingAgain: (replace(CALM, losses=1), "fewer than k vaults"),
    mutants.DeliversWhatOneVaultHolds: (FOLLOWED, "follower"),
    mutants.DeliversWithoutALook: (FOLLOWED, "follower"),
    mutants.ResumesAnothersEpoch: (TWO_IDLE, "two sites"),
    mutants.TakesAnyRefusalForItsOwn: (replace(TWO_IDLE, k=1, s=3), "two sites"),
    mutants.CountsWhatItHandedOver: (replace(CALM, restarts=1), "is not in epoch 2"),
    mutants.PassesOverACut: (CUT, "cut off"),
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
