"""Hot standbys in the in-memory World: the same plan, sooner; and never on a host that has a database of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resilience.decide import plan_failover, plan_snapshot
from resilience.engine.due import plan_due
from resilience.engine.execute import Approval, approve, execute, unfinished
from resilience.engine.observe import observe
from resilience.engine.run import Facts
from resilience.errors import Refused, ResilienceError
from resilience.model import Fleet, known
from resilience.model.fleet import Durability
from resilience.replication.epoch import newest_of
from tests.sim.stage import Stage, day_one, fleet_with


def hot(fleet: Fleet, name: str) -> Fleet:
    """The fleet with this site as a hot standby."""
    return replace(fleet, sites=tuple(replace(s, standby="hot") if s.name == name else s for s in fleet.sites))


def stood_by(durability: Durability = "async") -> Stage:
    """Day one, with birch following."""
    stage = day_one(durability)
    stage.fleet = hot(stage.fleet, "birch")
    stage.operator.up("birch")
    return stage


def snapshot(stage: Stage) -> Facts:
    """What `resilience snapshot` says that it did."""
    plan = plan_snapshot(stage.fleet, observe(stage.world, stage.fleet))
    approve(stage.world, plan, Approval(plan.digest, frozenset(), by="snapshot"))
    execute(stage.world, stage.fleet, plan)
    done = [e.data for e in stage.world.log.read() if e.kind == "step-done" and e.data["action"] == "protect"]
    return dict(done[-1]["facts"])


def test_a_hot_standby_serves_sooner_and_lacks_nothing() -> None:
    """Making, shaping, restoring and recovering are nearly nothing; what was acknowledged is there."""
    took = {}
    for stage in (day_one(), stood_by()):
        stage.state.lose("acorn")
        began = stage.state.now
        stage.operator.failover("birch")
        took[stage.fleet.site("birch").standby] = stage.state.now - began
        assert set(stage.state.confirmed) <= set(stage.state.hosts["birch"].rows)
    assert took["hot"] < took["cold"] - 25


def test_a_standby_says_that_it_follows() -> None:
    """Its reading is there although it serves nobody; after the failover it follows no more."""
    stage = stood_by()
    birch = stage.fleet.site("birch")
    outputs = stage.state.outputs["birch"]
    assert stage.world.plane.status(birch, outputs)["role"] == "standby"
    stage.state.lose("acorn")
    stage.operator.failover("birch")
    assert "role" not in stage.world.plane.status(birch, outputs)


def test_snapshots_are_the_standbys_and_the_primarys_where_it_cannot() -> None:
    """The plan names the standby that follows; where that fails, or there is none, the site takes it itself."""
    alone, stage = day_one(), stood_by()
    assert snapshot(alone).get("by") is None
    assert snapshot(stage)["by"] == "birch"
    stage.break_next("plane.birch.snapshot")
    taken = snapshot(stage)
    assert (taken["by"], bool(taken["standby_could_not"]), bool(taken["verified"])) == ("acorn", True, True)


def test_past_lost_wal_the_primary_takes_the_snapshot() -> None:
    """A standby waits before what no vault has, and would be asked in vain for the copy that leads past it."""
    stage = stood_by()
    survey = observe(stage.world, stage.fleet)
    ship = known(survey.sites["acorn"].ship)
    assert ship is not None
    for gap, taker in ((None, {"standby": "birch"}), ({"from": "0/1", "until": "0/2"}, {})):
        seen = replace(survey.sites["acorn"], ship={**ship, "gap": gap})
        step, *_ = plan_snapshot(stage.fleet, replace(survey, sites={**survey.sites, "acorn": seen})).steps
        assert (step.action, step.args) == ("protect", taker)


def test_the_primary_hears_of_a_standbys_snapshot_once_a_vault_gave_it_back() -> None:
    """Its ship says when that was taken, as of its own; where it can't be told, or no vault gives it back, it is as before."""
    stage = stood_by()
    acorn, outputs = stage.fleet.site("acorn"), stage.state.outputs["acorn"]

    def told() -> float:
        return float(stage.world.plane.shipped(acorn, outputs)["snapshot"]["at"])

    own = told()
    assert snapshot(stage)["by"] == "birch"
    assert (theirs := told()) > own
    stage.break_next("plane.acorn.read_back")
    taken = snapshot(stage)
    assert taken["verified"]
    assert "plane.acorn.read_back" in taken["untold"]
    assert told() == theirs
    for vault in stage.world.vaults:
        stage.break_next(f"vault.{vault}.verify")
    with pytest.raises(ResilienceError, match="No vault holds a snapshot that could be verified"):
        snapshot(stage)
    assert told() == theirs


def test_a_standby_that_was_started_again_follows_again() -> None:
    """The next snapshot gives it its keys, without anybody asking; a site that became the primary gets none."""
    stage = stood_by()
    stage.state.hosts["birch"].follows = False
    assert snapshot(stage).get("by") is None
    assert stage.state.hosts["birch"].follows
    assert snapshot(stage)["by"] == "birch"
    stage.state.lose("acorn")
    stage.operator.failover("birch")
    stage.fleet = hot(stage.fleet, "acorn")
    plan = plan_snapshot(stage.fleet, observe(stage.world, stage.fleet))
    assert [step.action for step in plan.steps] == ["protect"]


def test_the_primary_never_becomes_its_own_standby() -> None:
    """`follow` is for sites that may not write, and never writes over a database."""
    stage = stood_by()
    acorn = stage.fleet.site("acorn")
    epoch = newest_of(stage.world.vaults, stage.world.signer.verify)
    assert epoch is not None
    with pytest.raises(ResilienceError, match="There is a database"):
        stage.world.plane.follow(acorn, stage.state.outputs["acorn"], epoch)


def test_up_of_a_standby_that_may_write_meanwhile_stops() -> None:
    """A plan to follow that was made before a failover to that very site is not carried out after it."""
    stage = day_one()
    stage.fleet = hot(fleet_with(), "birch")
    stage.break_next("plane.birch.shape")
    with pytest.raises(ResilienceError):
        stage.operator.up("birch")
    stage.state.lose("acorn")
    stage.other_operator().failover("birch")
    plan = unfinished(stage.world, "up")
    assert plan is not None
    with pytest.raises(Refused):
        execute(stage.world, stage.fleet, plan)


@pytest.mark.parametrize(("action", "door"), [("warm", "plane.birch.warm"), ("begin", "plane.birch.begin_ship")])
def test_a_standby_that_cannot_begin_ahead_of_time_takes_over_all_the_same(action: str, door: str) -> None:
    """It only takes longer: nothing rests on what is loaded, or started, before it is needed."""
    stage = stood_by()
    stage.state.lose("acorn")
    stage.break_next(door)
    stage.operator.failover("birch")
    done = [e for e in stage.world.log.read() if e.kind == "step-done" and e.data["action"] == action]
    assert [set(e.data["facts"]) for e in done] == [{"why_not"}]
    assert stage.state.hosts["birch"].serving


@pytest.mark.parametrize("durability", ["async", "quorum"])
def test_ship_and_the_app_start_while_the_lease_runs_out(durability: Durability) -> None:
    """After the seal and the keys, before the copy is brought; where nobody holds a lease, while it is brought."""
    stage = stood_by(durability)
    plan = plan_failover(stage.fleet, observe(stage.world, stage.fleet), to="birch")
    groups = [[[step.action for step in lane] for lane in group] for group in plan.groups]
    at = next(place for place, lanes in enumerate(groups) if ["begin"] in lanes)
    assert groups[at - 1] == [["shape"]]
    assert groups[at : at + 3] == (
        [
            [["lease", "restore", "recover"], ["begin"]],
            [["ship"], ["first"], ["fetch", "ledger", "start"]],
            [["verify"]],
        ]
        if durability == "async"
        else [
            [["restore", "recover"], ["fetch"], ["begin"]],
            [["ship"], ["first"], ["ledger", "start"]],
            [["verify"]],
        ]
    )


def test_between_two_snapshots_a_standby_gets_its_keys_within_the_hour() -> None:
    """With --due the snapshot waits where the last is young; what keeps standbys up does not, and is tried once an hour."""
    stage = stood_by()
    snapshot(stage)
    stage.fleet = replace(stage.fleet, replication=replace(stage.fleet.replication, snapshot_minutes=1440))
    assert plan_due(stage.world, stage.fleet) is None
    stage.state.hosts["birch"].follows = False
    stage.state.pass_time(3600)
    plan = plan_due(stage.world, stage.fleet)
    assert plan is not None
    assert [step.action for step in plan.steps] == ["follow"]
    approve(stage.world, plan, Approval(plan.digest, frozenset(), by="snapshot"))
    execute(stage.world, stage.fleet, plan)
    assert stage.state.hosts["birch"].follows
    stage.state.hosts["birch"].follows = False
    assert plan_due(stage.world, stage.fleet) is None


def test_nothing_is_tried_at_a_primary_that_does_not_answer() -> None:
    """It would hold the fleet's lock for a whole attempt, every five minutes, just when somebody wants to fail over."""
    stage = day_one()
    stage.state.pass_time(36_000)
    assert plan_due(stage.world, stage.fleet) is not None
    stage.state.hosts["acorn"].serving = False
    with pytest.raises(ResilienceError, match="acorn does not answer"):
        plan_due(stage.world, stage.fleet)
    stage.state.lose("acorn")
    with pytest.raises(ResilienceError, match="acorn does not answer"):
        plan_due(stage.world, stage.fleet)
