"""A restore into a site: the same or another, to the operator's point; what was ordered down stays down, and there is a way back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from resilience.decide import plan_restore
from resilience.engine.observe import observe
from resilience.errors import Refused, ResilienceError, UsageError
from resilience.model import Plan
from resilience.model.fleet import Durability
from resilience.simulation.shipping import may_acknowledge
from tests.sim.plans import GOOD, bad_day
from tests.sim.stage import Stage, attempt


def planned(
    stage: Stage, at: str | None, of: int | None = None, to: str | None = None, lost: Sequence[str] = ()
) -> Plan:
    """The plan for a restore to this point."""
    survey = observe(stage.world, stage.fleet, frozenset(lost))
    closed = frozenset(vault.name for vault in stage.fleet.vaults if vault.vendor in lost)
    point = stage.world.without(closed).plane.point(at, of)
    return plan_restore(stage.fleet, survey, point, to=to, declared=frozenset(lost))


def restore(
    stage: Stage, at: str | None, of: int | None = None, to: str | None = None, lost: Sequence[str] = ()
) -> None:
    """As a person types it, once more where it was interrupted."""
    stage.operator.restore(at, of, to, lost)


@pytest.mark.parametrize("durability", ["async", "quorum"])
@pytest.mark.parametrize("to", [None, "birch"])
def test_what_came_after_is_undone(durability: Durability, to: str | None) -> None:
    """The site serves what it had, and takes writes; a takedown from after the point holds; the old epoch confirms nothing."""
    stage = bad_day(durability)
    old = stage.state.hosts["acorn"].promoted_under
    plan = planned(stage, "0/19", to=to)
    assert [hazard.name for hazard in plan.hazards].count("loses-writes") == 1
    restore(stage, "0/19", to=to)
    newest = stage.monitor.newest()
    assert newest is not None
    host = stage.state.hosts[to or "acorn"]
    assert (newest.site, newest.number) == (to or "acorn", 2)
    assert set(host.rows) == GOOD
    assert {"post3", "post4", "post7"} <= host.hidden
    assert stage.post(1) == 1
    assert host.promoted_under == newest.nonce != old
    if to:
        assert not may_acknowledge(stage.state, stage.state.hosts["acorn"])


def test_there_is_a_way_back() -> None:
    """All of the chain that was cut off can be restored, by the number of its epoch."""
    stage = bad_day()
    restore(stage, "0/19")
    stage.post(3)
    stage.state.pass_time(2.0)
    restore(stage, None, of=1)
    host = stage.state.hosts["acorn"]
    assert set(host.rows) == GOOD | {f"post{n}" for n in range(25, 35)}
    assert "post7" in host.hidden


def test_a_second_restore_in_place_stops_the_site_again() -> None:
    """What an earlier plan did there is nothing that this one found: it serves again since, and is closed and stopped."""
    stage = bad_day()
    for _ in range(2):
        restore(stage, "0/19")
        assert stage.post(3) == 3
    events = [event.kind for event in stage.world.log.read()]
    assert (events.count("stood-down"), events.count("closed")) == (2, 2)


def test_a_site_that_is_lost_is_not_asked_to_stop() -> None:
    """Restored elsewhere, without one call to the lost vendor."""
    stage = bad_day()
    stage.state.lose("acorn")
    plan = planned(stage, "0/19", lost=["acorn"])
    assert plan.target == "birch"
    assert not {"close", "stand-down"} & {step.action for step in plan.steps}
    with stage.monitor.nobody_calls(frozenset({"acorn"})):
        restore(stage, "0/19", lost=["acorn"])
    assert set(stage.state.hosts["birch"].rows) == GOOD


def test_it_goes_on_where_it_was_interrupted() -> None:
    """Whichever call breaks, the same command ends with the same rows."""
    for door in ("plane.acorn.stand_down", "plane.acorn.set_aside", "plane.acorn.restore", "app.acorn.start"):
        for after in (False, True):
            stage = bad_day()
            stage.break_next(door, after=after)
            assert attempt(lambda stage=stage: restore(stage, "0/19")) is not None, door  # type: ignore[misc]
            restore(stage, "0/19")
            assert set(stage.state.hosts["acorn"].rows) == GOOD, door


def test_up_brings_back_no_database_of_before_the_restore() -> None:
    """Typed because service is wanted back: the epoch is the site's, what lies there is not what it was sealed for, and nothing is touched."""
    stage = bad_day()
    stage.break_next("plane.acorn.stand_down")
    assert attempt(lambda: restore(stage, "0/19")) is not None
    with pytest.raises(Refused, match="the database of that epoch is not there"):
        stage.operator.up("acorn")
    assert str(stage.state.hosts["acorn"].stage) == "closed"
    restore(stage, "0/19")
    assert set(stage.state.hosts["acorn"].rows) == GOOD


def test_what_can_t_be_done_is_said_before_anything_is() -> None:
    """A moment that cuts nothing off, one that is not there, and a site at a lost vendor: no step runs."""
    stage = bad_day()
    before = len(stage.state.events)
    with pytest.raises(Refused):
        planned(stage, "2999-01-01")
    with pytest.raises(Refused):
        planned(stage, "2001-01-01")
    with pytest.raises(UsageError):
        planned(stage, "0/19", to="acorn", lost=["acorn"])
    with pytest.raises(ResilienceError):
        planned(stage, "0/19", lost=["birch", "elm"])
    assert len(stage.state.events) == before


@pytest.mark.parametrize("durability", ["async", "quorum"])
def test_a_change_of_vaults_that_stopped_before_its_seal_is_in_no_restores_way(durability: Durability) -> None:
    """Its key was carried over already, to a number that the restore seals: the old ship must see another's epoch, and stop."""
    stage = bad_day(durability)
    before = stage.monitor.newest()
    assert before is not None
    stage.break_next("signer.site_key", how="killed")
    assert attempt(lambda: stage.operator.vaults("elm")) == "killed at signer.site_key"
    restore(stage, "0/19")
    newest = stage.monitor.newest()
    assert newest is not None
    assert newest.number == before.number + 1
    assert newest.signer != before.signer
    assert set(stage.state.hosts["acorn"].rows) == GOOD
    assert stage.post(1) == 1
