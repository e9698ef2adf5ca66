"""Gates: a stage is opened only where what it needs was found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resilience.decide import plan_open
from resilience.decide.gates import Findings, unmet
from resilience.decide.opening import stages
from resilience.model import Stage
from resilience.simulation import simulated_fleet

GOOD = Findings(ledger=5, anchor=5, missing=0, corrupt=0, resurrected=0)
NONE: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("stage", "found", "hazards", "why"),
    [
        (Stage.READ_ONLY, GOOD, NONE, None),
        (Stage.READ_ONLY, replace(GOOD, ledger=4), NONE, "applied 4"),
        (Stage.READ_ONLY, replace(GOOD, resurrected=1), frozenset({"loses-writes"}), "taken down"),
        (Stage.READ_ONLY, replace(GOOD, missing=1), NONE, None),
        (Stage.WRITES, GOOD, NONE, None),
        (Stage.WRITES, replace(GOOD, missing=1), NONE, "nowhere"),
        (Stage.WRITES, replace(GOOD, missing=1), frozenset({"loses-writes"}), None),
        (Stage.WRITES, replace(GOOD, ledger=4), frozenset({"loses-writes"}), "applied 4"),
        (Stage.SIGN_UPS, replace(GOOD, resurrected=1), NONE, "taken down"),
        (Stage.WRITES, replace(GOOD, corrupt=1), frozenset({"loses-writes"}), "not what their rows say"),
    ],
)
def test_what_a_stage_needs(stage: Stage, found: Findings, hazards: frozenset[str], why: str | None) -> None:
    """Reading, and all beyond it, needs the whole ledger; writing also pictures that agree with rows, as far as loss was not accepted."""
    said = unmet(stage, found, hazards)
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
        steps = plan_open(fleet, "birch", seen, wanted, NONE).steps
        return [f"{step.action} {step.args.get('stage', '')}".strip() for step in steps]

    assert actions(Stage.CLOSED, Stage.WRITES) == ["verify", "open read-only", "open writes", "media"]
    assert actions(Stage.SIGN_UPS, Stage.CLOSED) == ["close closed"]
    assert actions(Stage.WRITES, Stage.WRITES) == []
