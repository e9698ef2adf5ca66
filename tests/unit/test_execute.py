"""Execute: the journal has each step before and after; nothing is done that nobody approved."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from resilience.adapters.threads import side_by_side
from resilience.decide import plan_failover
from resilience.engine.execute import Approval, approve, execute, unfinished
from resilience.engine.observe import survey_after_loss
from resilience.engine.steps import ACTIONS
from resilience.errors import Exit, Refused, ResilienceError
from resilience.model import Event, Plan
from resilience.ports import Journey, Outside, Plane, World
from resilience.simulation import Break, State, simulated_fleet, simulated_world
from tests.sim.stage import Stage, day_one

FLEET = simulated_fleet()


def lost() -> tuple[Stage, Plan]:
    """A site that is gone, and the plan to leave it."""
    stage = day_one()
    stage.state.lose("acorn")
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    return stage, plan_failover(stage.fleet, survey, declared=dead)


def approval(plan: Plan, digest: str | None = None) -> Approval:
    """Everything accepted, by a person."""
    return Approval(digest or plan.digest, frozenset(h.name for h in plan.hazards), by="operator")


def steps_of(world: World) -> list[tuple[str, str]]:
    """The journal's lines about failover steps, in order."""
    return [
        (e.kind, str(e.data["id"])) for e in world.log.read() if e.kind.startswith("step-") and "birch" in e.data["id"]
    ]


def test_each_step_is_journalled_before_and_after() -> None:
    """Started, then done, for every step of the plan and in its order."""
    stage, plan = lost()
    begun = len(stage.world.log.read())
    approve(stage.world, plan, approval(plan))
    execute(stage.world, stage.fleet, plan)
    told = [(e.kind, e.data["id"]) for e in stage.world.log.read()[begun:] if e.kind.startswith("step-")]
    assert told == [(kind, step.id) for step in plan.steps for kind in ("step-started", "step-done")]


def test_a_watcher_sees_what_the_journal_has() -> None:
    """Progress is shown from the same lines, in the same order."""
    stage, plan = lost()
    begun, seen = len(stage.world.log.read()), list[Event]()
    execute(stage.world, stage.fleet, plan, seen.append)
    kept = [e for e in stage.world.log.read()[begun:] if e.kind.startswith("step-")]
    assert seen == kept


def test_a_step_that_fails_stops_the_plan() -> None:
    """Its line says what, why and what next; no later step is begun, and the error reaches the caller."""
    stage, plan = lost()
    stage.state.doors.breaks.append(Break("plane.birch.restore", 1))
    with pytest.raises(ResilienceError, match=r"plane\.birch\.restore"):
        execute(stage.world, stage.fleet, plan)
    last = stage.world.log.read()[-1]
    assert last.kind == "step-failed"
    assert last.data["action"] == "restore"
    assert all(last.data[key] for key in ("what", "why", "next"))


def test_what_was_interrupted_is_found_again() -> None:
    """The newest approved plan that neither finished nor was overtaken is the one to go on with."""
    stage, plan = lost()
    assert unfinished(stage.world, "failover") is None
    approve(stage.world, plan, approval(plan))
    assert unfinished(stage.world, "failover") == plan
    execute(stage.world, stage.fleet, plan)
    assert unfinished(stage.world, "failover") is None


def test_a_later_plan_overtakes() -> None:
    """Once another kind of plan was approved, the older one is not gone on with."""
    stage, plan = lost()
    approve(stage.world, plan, approval(plan))
    other = replace(plan, kind="up", hazards=())
    approve(stage.world, other, Approval(other.digest, frozenset(), by="up"))
    assert unfinished(stage.world, "failover") is None
    assert unfinished(stage.world, "up") == other


def test_a_stale_digest_is_refused() -> None:
    """What was read is not what would be done now: exit 5, and nothing is journalled."""
    stage, plan = lost()
    lines = len(stage.world.log.read())
    with pytest.raises(Refused, match=plan.digest) as raised:
        approve(stage.world, plan, approval(plan, digest="000000000000"))
    assert raised.value.exit_code == Exit.REFUSED
    assert len(stage.world.log.read()) == lines


def test_hazards_are_accepted_by_name() -> None:
    """Each open hazard is named with its reason and the words that accept it: exit 5, nothing journalled."""
    stage, plan = lost()
    lines = len(stage.world.log.read())
    with pytest.raises(Refused, match="--accept loses-writes") as raised:
        approve(stage.world, plan, Approval(plan.digest, frozenset({"another"}), by="operator"))
    assert raised.value.exit_code == Exit.REFUSED
    assert len(stage.world.log.read()) == lines


def test_every_planned_action_exists() -> None:
    """No plan asks for something that the engine can't do."""
    _, plan = lost()
    assert {step.action for step in plan.steps} <= set(ACTIONS)


def test_lost_vendors_have_no_door() -> None:
    """Steps see a World without the lost vendors' vaults, so they can't call them by mistake."""
    world = simulated_world(State(), FLEET)
    left = world.without(frozenset({"elm"}))
    assert set(left.vaults) == {"birch", "cedar"}
    assert set(world.vaults) == {"birch", "cedar", "elm"}


@dataclass
class Watched:
    """A door of the world at which something is done first where it is asked for one thing."""

    door: Any
    before: Mapping[str, Callable[[], object]]

    def __getattr__(self, name: str) -> object:
        self.before.get(name, lambda: None)()
        return getattr(self.door, name)

    def without(self, vaults: frozenset[str], *, forced: bool = False) -> object:
        """The same: nothing here is at a lost vendor."""
        return self


@dataclass
class ByName:
    """Users, of whom those that come by name do something before or after."""

    outside: Outside
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> object:
        return getattr(self.outside, name)

    def journey(self, address: str | None = None, gate_pass: str | None = None, root: str = "") -> Journey:
        """As a user, by address or by name."""
        if address is None:
            self.before()
        walked = self.outside.journey(address, gate_pass, root)
        if address is None:
            self.after()
        return walked


def test_steps_that_need_nothing_of_each_other_run_side_by_side() -> None:
    """Copy and ledger are brought at one time; a promotion waits for the copy alone, what writes for both."""
    stage, plan = lost()
    approve(stage.world, plan, approval(plan))
    met = threading.Barrier(2, timeout=120)
    plane = Watched(stage.world.plane, {"restore": met.wait, "fetch_ledger": met.wait})
    world = replace(stage.world, plane=cast("Plane", plane), together=side_by_side)
    begun = len(world.log.read())
    execute(world, stage.fleet, plan)
    told = [(e.kind, e.data["action"]) for e in world.log.read()[begun:] if e.kind.startswith("step-")]
    ended = [told.index(("step-done", action)) for action in ("restore", "fetch")]
    assert ended[0] < told.index(("step-started", "recover"))
    assert max(ended) < told.index(("step-started", "ship"))


def test_copies_are_made_while_resolvers_keep_the_old_address() -> None:
    """Nobody waits for a TTL before the data is safe again: each of the two goes on only once the other is under way."""
    stage, plan = lost()
    copying, coming = threading.Event(), threading.Event()

    def copies() -> None:
        copying.set()
        assert coming.wait(120)

    def comes() -> None:
        coming.set()
        assert copying.wait(120)

    plane, outside = Watched(stage.world.plane, {"snapshot": copies}), ByName(stage.world.outside, before=comes)
    world = replace(stage.world, together=side_by_side, plane=cast("Plane", plane), outside=cast("Outside", outside))
    begun = len(world.log.read())
    execute(world, stage.fleet, plan)
    told = [(e.kind, e.data["action"]) for e in world.log.read()[begun:] if e.kind.startswith("step-")]
    signed_up = max(place for place, step in enumerate(told) if step == ("step-started", "open"))
    assert told.index(("step-done", "confirm")) < signed_up < told.index(("step-started", "stand-by"))


def test_pictures_come_once_the_app_is_open_and_are_not_waited_for() -> None:
    """Anybody may write and a user gets through by name while they are still being brought; the command ends with them."""
    stage, plan = lost()
    coming = threading.Event()

    def bring() -> None:
        assert coming.wait(120)

    def came() -> None:
        assert stage.world.app.facts(stage.state.outputs["birch"])["media"]["missing"]
        coming.set()

    plane, outside = Watched(stage.world.plane, {"fetch_media": bring}), ByName(stage.world.outside, after=came)
    world = replace(stage.world, together=side_by_side, plane=cast("Plane", plane), outside=cast("Outside", outside))
    execute(world, stage.fleet, plan)
    looked = [e.data for e in world.log.read() if e.kind == "media-checked"]
    assert looked[0]["coming"] > 0
    assert (looked[-1]["coming"], looked[-1]["missing"]) == (0, 0)


def test_a_failure_beside_others_is_raised_after_they_ended() -> None:
    """Nothing goes on in the background of a failover that has stopped; what failed is journalled, and is run again."""
    stage, plan = lost()
    world = replace(stage.world, together=side_by_side)
    stage.state.doors.breaks.append(Break("plane.birch.fetch_ledger", 1))
    begun = len(world.log.read())
    with pytest.raises(ResilienceError, match=r"plane\.birch\.fetch_ledger"):
        execute(world, stage.fleet, plan)
    ended = {e.data["action"]: e.kind for e in world.log.read()[begun:] if e.kind in {"step-done", "step-failed"}}
    assert ended["fetch"] == "step-failed"
    assert "restore" in ended
    assert not {"ship", "start", "open"} & set(ended)
    execute(world, stage.fleet, plan)
    assert world.log.read()[-1].kind == "finished"
