"""What is done beside a command that stopped: a timer's snapshot, or an opening, and then the same command goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from resilience.engine.broken_chain import accept_end
from resilience.engine.due import plan_due
from resilience.engine.execute import Approval, approve, execute, unfinished
from resilience.engine.run import Run
from resilience.model import Stage as Gate
from tests.sim.broken import GOOD, Broken
from tests.sim.stage import Stage, attempt, day_one


def due(stage: Stage) -> None:
    """As the timer's `resilience snapshot --due` does, two hours later."""
    stage.state.pass_time(7200.0)
    plan = plan_due(stage.world, stage.fleet)
    assert plan is not None
    approve(stage.world, plan, Approval(plan.digest, frozenset(), by="snapshot"))
    execute(stage.world, stage.fleet, plan)


def opened(stage: Stage) -> None:
    """As `resilience open read-only` does."""
    stage.operator.open("birch", Gate.READ_ONLY)


def stopped(door: str) -> Stage:
    """A failover to birch that broke there."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.break_next(door)
    assert door in str(attempt(stage.operator.failover))
    return stage


@pytest.mark.parametrize("door", ["zone.dover.point", "outside.journey"])
@pytest.mark.parametrize("meanwhile", [due, opened])
def test_a_failover_that_stopped_late_goes_on(door: str, meanwhile: Callable[[Stage], None]) -> None:
    """The new primary is not left for a third site: run again, the failover ends where it was going."""
    stage = stopped(door)
    meanwhile(stage)
    stage.operator.failover()
    newest = stage.monitor.newest()
    assert newest is not None
    assert (newest.site, newest.number) == ("birch", 2)
    assert unfinished(stage.world, "failover") is None
    assert stage.post(1) == 1


def test_once_it_goes_on_its_own_traces_are_found_again() -> None:
    """Of all its attempts, and none of what another plan did between them."""
    stage = stopped("zone.dover.point")
    plan = unfinished(stage.world, "failover")
    assert plan is not None
    opened(stage)
    stage.break_next("outside.journey")
    assert "outside.journey" in str(attempt(stage.operator.failover))
    ids = [str(event.data["id"]) for event in Run(stage.world, stage.fleet, plan).events("step-started")]
    assert set(ids) <= {step.id for step in plan.steps}
    assert ids.count(plan.steps[0].id) == 2


def test_a_plan_that_did_not_begin_to_seal_is_overtaken() -> None:
    """A move that stopped before anything was decided is planned anew: facts of then say nothing of now."""
    stage = day_one()
    stage.break_next("plane.birch.fetch_ahead")
    assert "fetch_ahead" in str(attempt(stage.operator.switchover))
    assert unfinished(stage.world, "switchover") is not None
    due(stage)
    assert unfinished(stage.world, "switchover") is None


def test_at_a_hole_the_end_can_still_be_accepted() -> None:
    """Something was done beside a failover that waits for a person there; it is the same failover."""
    stage = day_one()
    stage.state.lose("acorn")
    whole = stage.operator
    stage.operator = replace(whole, world=replace(stage.world, plane=Broken(stage.world.plane)))
    assert "chain is broken" in str(attempt(stage.operator.failover))
    whole.open("birch", Gate.CLOSED)
    accept_end(stage.world, unfinished(stage.world, "failover"), GOOD, frozenset({"broken-chain"}))
    stage.operator.failover()
    assert stage.post(1) == 1
