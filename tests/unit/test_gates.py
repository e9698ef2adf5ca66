"""Gates: a stage is opened only where what it needs was found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resilience.decide import plan_open
from resilience.decide.gates import Findings, unmet
from resilience.decide.opening import stages
from resilience.model import EpochRecord, Stage
from resilience.simulation import simulated_fleet

GOOD = Findings(ledger=5, anchor=5, missing=0, corrupt=0, resurrected=0)
OLD = EpochRecord(2, "birch", "n" * 32, 1, ("cedar", "elm"), 1, 2, 0.0, "key", "signed")


@pytest.mark.parametrize(
    ("stage", "found", "may_lose", "why"),
    [
        (Stage.READ_ONLY, GOOD, False, None),
        (Stage.READ_ONLY, replace(GOOD, ledger=4), False, "applied 4"),
        (Stage.READ_ONLY, replace(GOOD, resurrected=1), True, "taken down"),
        (Stage.READ_ONLY, replace(GOOD, missing=1), False, None),
        (Stage.WRITES, GOOD, False, None),
        (Stage.WRITES, replace(GOOD, missing=1), False, "nowhere"),
        (Stage.WRITES, replace(GOOD, missing=1), True, None),
        (Stage.WRITES, replace(GOOD, ledger=4), True, "applied 4"),
        (Stage.SIGN_UPS, replace(GOOD, resurrected=1), False, "taken down"),
        (Stage.WRITES, replace(GOOD, corrupt=1), True, "not what their rows say"),
    ],
)
def test_what_a_stage_needs(stage: Stage, found: Findings, may_lose: bool, why: str | None) -> None:  # noqa: FBT001
    """Reading, and all beyond it, needs the whole ledger; writing also pictures that agree with rows, as far as loss was not accepted."""
    said = unmet(stage, found, may_lose=may_lose)
    assert said == why if why is None else why in str(said)


def test_a_hold_keeps_its_stage_and_all_beyond_it_shut() -> None:
    """Held at writes, only reading is opened; held at closed, nothing is."""
    assert stages(None) == (Stage.READ_ONLY, Stage.WRITES, Stage.SIGN_UPS)
    assert stages(Stage.WRITES) == (Stage.READ_ONLY,)
    assert stages(Stage.READ_ONLY) == stages(Stage.CLOSED) == ()


def test_opening_looks_first_and_closing_does_not() -> None:
    """Up: verify, then one stage after the other. Down: at once. Where it is already: nothing."""
    fleet = simulated_fleet()

    def actions(seen: Stage, wanted: Stage) -> list[str]:
        steps = plan_open(fleet, OLD, seen, wanted, frozenset()).steps
        return [f"{step.action} {step.args.get('stage', '')}".strip() for step in steps]

    assert actions(Stage.CLOSED, Stage.WRITES) == ["verify", "open read-only", "open writes", "media"]
    assert actions(Stage.SIGN_UPS, Stage.CLOSED) == ["close closed"]
    assert actions(Stage.WRITES, Stage.WRITES) == []
