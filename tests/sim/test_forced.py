"""A promotion without the vaults that fence the old site: only by name, and what it risks really happens here."""

from __future__ import annotations

import pytest

from resilience.decide import plan_failover
from resilience.engine.execute import Approval, approve, execute
from resilience.engine.observe import survey_after_loss
from resilience.errors import Refused, TooFewVaults
from resilience.model import Plan
from resilience.replication import layout
from resilience.simulation.shipping import may_acknowledge
from tests.sim.stage import Stage, day_one


def alone() -> Stage:
    """Two of three vaults are gone for good, and the old primary lives on behind a closed control plane."""
    stage = day_one("quorum")
    stage.state.lose("acorn", hosts=False)
    stage.state.lose("cedar")
    stage.state.watchers.clear()  # what the monitor looks for is what is given up here
    return stage


def forced(stage: Stage, *, force: bool = True) -> Plan:
    """The plan that somebody would have to accept, made while birch's bucket does not answer."""
    for call in range(2, 5):
        stage.break_next("vault.birch.list", call=call)
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    return plan_failover(stage.fleet, survey, to="birch", declared=dead, force=force)


def test_without_force_nothing_is_planned() -> None:
    """Elm alone can't fence anybody."""
    with pytest.raises(TooFewVaults, match="Only 1 of the 2 vaults"):
        forced(alone(), force=False)


def test_both_dangers_are_accepted_by_name_or_it_is_not_done() -> None:
    """With one of the two left open it is refused."""
    stage = alone()
    plan = forced(stage)
    assert plan.forced
    assert plan.unheard == ("birch",)
    names = {hazard.name for hazard in plan.hazards}
    assert {"split-brain", "loses-writes", "stale-ledger", "single-vault-left"} <= names
    for left_open in ("split-brain", "loses-writes"):
        with pytest.raises(Refused, match=left_open):
            approve(stage.world, plan, Approval(plan.digest, frozenset(names - {left_open}), "operator"))


def test_it_serves_from_what_is_left() -> None:
    """What the one vault holds is there; the old site, which nobody could fence, is not said to be fenced."""
    stage = alone()
    plan = forced(stage)
    approve(stage.world, plan, Approval(plan.digest, frozenset(h.name for h in plan.hazards), "operator"))
    execute(stage.world, stage.fleet, plan)
    birch = stage.state.hosts["birch"]
    assert birch.serving
    assert "post0" in birch.rows
    done = [e.data for e in stage.world.log.read() if e.kind == "step-done"]
    assert [data["facts"]["skipped"] for data in done if data["action"] == "recover"] == [100_000]
    assert not any(layout.sealed(2) in held.objects for held in stage.state.vaults.values())


def test_both_sites_may_then_acknowledge() -> None:
    """That is what split-brain means: a site that reaches the other two vaults would go on, and its writes are not here."""
    stage = alone()
    stage.state.revive("cedar")
    stage.state.hosts["acorn"].cut_off = {"elm"}
    stage.state.lose("cedar")
    plan = forced(stage)
    stage.state.revive("cedar")
    approve(stage.world, plan, Approval(plan.digest, frozenset(h.name for h in plan.hazards), "operator"))
    execute(stage.world, stage.fleet, plan)
    assert may_acknowledge(stage.state, stage.state.hosts["birch"])
    assert may_acknowledge(stage.state, stage.state.hosts["acorn"])
