"""Counter-examples that shaped the engine, each with its own story."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from resilience.decide import plan_failover
from resilience.engine.execute import unfinished
from resilience.engine.observe import survey_after_loss
from resilience.engine.past import lapses
from resilience.errors import Refused, TooFewVaults
from resilience.model import Event
from resilience.simulation import SimulatedGround, SimulatedUsers
from resilience.simulation.operator import SimClock
from resilience.simulation.shipping import may_acknowledge
from tests.sim.stage import Stage, attempt, day_one


def begins(action: str, event: Event) -> bool:
    """Whether this line begins the action."""
    return event.kind == "step-started" and event.data["action"] == action


def test_the_failover_goes_through() -> None:
    """Nothing breaks: birch serves, users get through, and the vaults hold the new epoch."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.operator.failover()
    assert stage.post(5) == 5
    newest = stage.monitor.newest()
    assert newest is not None
    assert (newest.number, newest.site) == (2, "birch")
    assert unfinished(stage.world, "failover") is None


def test_the_old_lease_runs_out_while_a_host_is_made_ready() -> None:
    """Nobody waits for both, and nothing is brought before: what the old site may still write reaches the vaults."""
    stage = day_one("async")
    stage.state.lose("acorn")
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    plan = plan_failover(stage.fleet, survey, declared=dead)
    groups = [[[step.action for step in lane] for lane in group] for group in plan.groups]
    at = groups.index([["shape"], ["lease"]])
    assert groups[at + 1 : at + 3] == [[["warm"]], [["restore", "recover"], ["fetch"]]]


def test_the_vault_set_changes_and_then_the_vendor_goes() -> None:
    """Interrupted anywhere and run again: the site goes on, and what it wrote before and after is at the next one."""
    for call in range(1, 30):
        stage = day_one()
        stage.break_next("log.append", call=call)
        change = partial(stage.operator.vaults, "elm")
        cut = attempt(change)
        assert stage.post(2, "acorn") == 2
        assert cut is None or attempt(change) is None
        assert stage.post(2, "acorn") == 2
        newest = stage.monitor.newest()
        assert newest is not None
        assert (newest.number, newest.site, set(newest.vaults)) == (2, "acorn", {"birch", "cedar"})
        stage.state.doors.breaks.clear()
        stage.state.lose("acorn")
        stage.operator.failover()
        assert stage.post(1, "birch") == 1


def test_a_resumed_seal_still_needs_the_old_vaults() -> None:
    """A seal that got into the new set only is not enough when it is resumed: the old site could go on."""
    stage = day_one()
    stage.state.lose("acorn", hosts=False)
    stage.state.lose("elm")
    stage.break_next("vault.birch.put_new")
    assert "TooFewVaults" in str(attempt(lambda: stage.operator.failover(lost={"elm"})))
    stage.state.hosts["acorn"].cut_off = {"cedar"}
    stage.state.revive("elm")
    stage.break_next("vault.birch.put_new")
    assert "TooFewVaults" in str(attempt(stage.operator.failover))
    assert attempt(stage.operator.failover) is None
    assert stage.post(1) == 1


def test_the_lease_counts_from_the_moment_the_seal_was_whole() -> None:
    """A vault took a minute to answer: the old site could renew its lease until the seal was whole."""
    stage = day_one()
    stage.state.lose("acorn", hosts=False)
    acorn = stage.state.hosts["acorn"]
    put: list[str] = []

    def stall(door: str) -> None:
        if door.endswith("put_new") and not put:
            put.append(door)
            acorn.cut_off = {door.split(".")[1]}
            stage.state.pass_time(60.0)
            assert may_acknowledge(stage.state, acorn)
            acorn.cut_off = set(stage.state.vaults)

    stage.state.watchers.append(stall)
    stage.state.pace = 0.0
    stage.operator.failover()
    assert put
    assert stage.post(1, "birch") == 1


@pytest.mark.parametrize(
    ("set_by", "boot", "least", "most"),
    [(30.0, "simulated", 4.0, 6.0), (-30.0, "simulated", 4.0, 6.0), (0.0, "another", 6.0, 6.0)],
)
def test_a_clock_that_is_set_cuts_no_lease_short(set_by: float, boot: str, least: float, most: float) -> None:
    """After the seal the time of day jumps, either way: the wait is what is left. After a boot it is whole."""
    stage = day_one()
    stage.state.lose("acorn", hosts=False)
    stage.state.pace = 0.0
    acorn = stage.state.hosts["acorn"]
    clock = SimClock(stage.state)

    def part(door: str) -> None:
        if door.endswith("put_new"):
            acorn.cut_off = set(stage.state.vaults)

    def jump() -> None:
        clock.set_by, clock.boot = set_by, boot

    stage.state.watchers.append(part)
    stage.operator.world = replace(stage.operator.world, clock=clock)
    stage.operator.asleep(partial(begins, "lease"), jump).failover()
    assert [least <= seconds <= most for seconds in waits(stage)] == [True]
    assert stage.post(1, "birch") == 1


def waits(stage: Stage) -> list[float]:
    """How long each lease was waited for."""
    done = [event.data for event in stage.world.log.read() if event.kind == "step-done"]
    return [data["facts"]["waited_s"] for data in done if data["action"] == "lease"]


CHANGES: list[dict[str, Any]] = [{"durability": "quorum"}, {"lease_s": 1.0, "drift_s": 0.5}]


@pytest.mark.parametrize("change", CHANGES)
def test_a_fleet_file_that_was_changed_since_cuts_no_lease_short(change: dict[str, Any]) -> None:
    """No host was told of it: the old site's lease is waited for as it was told, and writes may be lost."""
    stage = day_one()
    stage.state.lose("acorn", hosts=False)
    stage.state.pace = 0.0
    acorn = stage.state.hosts["acorn"]

    def part(door: str) -> None:
        if door.endswith("put_new"):
            acorn.cut_off = set(stage.state.vaults)

    stage.state.watchers.append(part)
    stage.fleet = replace(stage.fleet, replication=replace(stage.fleet.replication, **change))
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    assert "loses-writes" in {hazard.name for hazard in plan_failover(stage.fleet, survey, declared=dead).hazards}
    stage.operator.failover()
    assert [4.0 <= seconds <= 6.0 for seconds in waits(stage)] == [True]
    assert stage.post(1, "birch") == 1


def test_a_site_that_was_told_of_the_change_is_waited_for_by_it() -> None:
    """Once `up` is through; where it stopped before ship was started anew, by what is longer."""
    for whole in (True, False):
        stage = day_one()
        stage.fleet = replace(stage.fleet, replication=replace(stage.fleet.replication, lease_s=2.0))
        stage.operator.world.plane.fleet = stage.fleet  # type: ignore[attr-defined]
        if not whole:
            stage.break_next("plane.acorn.start_ship")
        assert (attempt(partial(stage.operator.up, "acorn")) is None) is whole
        assert lapses(stage.world.log.read()) == {"acorn": 3.0 if whole else 6.0}
        stage.state.pace = 0.0
        stage.state.lose("acorn", hosts=False)
        stage.operator.failover()
        assert (waits(stage)[-1] <= 3.0) is whole
        assert lapses(stage.world.log.read()) == {"birch": 3.0}


def test_a_laptop_that_stalled_before_promoting_wakes_too_late() -> None:
    """Another operator took over meanwhile: the first one is refused, and the name stays where it is."""
    for action in ("recover", "ship", "start", "point", "confirm", "protect"):
        stage = day_one()
        stage.state.lose("acorn")
        other = partial(stage.other_operator().failover, to="cedar", lost={"acorn"})
        sleeper = stage.operator.asleep(partial(begins, action), other)
        with pytest.raises(Refused, match="may not write"):
            sleeper.failover(to="birch")
        assert stage.state.zones["dover"] == stage.state.outputs["cedar"].addresses, action
        assert stage.post(3) == 3
        assert may_acknowledge(stage.state, stage.state.hosts["cedar"])


def test_two_who_seal_at_once() -> None:
    """One of them wins in enough vaults and ends well; the other is refused, also when run again."""
    stage = day_one()
    stage.state.lose("acorn")
    other = stage.other_operator()
    stage.break_next("vault.cedar.put_new")
    stage.break_next("vault.elm.put_new")
    assert "TooFewVaults" in str(attempt(lambda: stage.operator.failover(to="birch")))
    other.failover(to="cedar", lost={"acorn", "birch"})
    with pytest.raises(Refused):
        stage.operator.failover()
    assert stage.post(1, "cedar") == 1


def test_the_one_that_lost_the_race_is_not_taken_for_the_primary() -> None:
    """Two epochs of one number lie in the vaults: the next seal reaches the vaults of the one that won."""
    stage = day_one("quorum")
    stage.state.lose("acorn")
    stage.break_next("vault.birch.put_new")
    winner = partial(stage.other_operator().failover, to="birch", lost={"acorn"})
    loser = stage.operator.asleep(lambda event: event.kind == "sealing", winner)
    with pytest.raises(Refused):
        loser.failover(to="cedar")
    stage.state.revive("acorn")
    stage.state.hosts["birch"].cut_off = {"birch", "elm"}
    stage.operator.failover(to="acorn", anew=True)
    assert stage.post(1, "acorn") == 1
    assert stage.post(1, "birch") == 0


def test_an_epoch_that_was_not_sealed_leaves_no_gap() -> None:
    """An epoch in one vault only, then the next one in all: the old site finds it wherever it looks."""
    stage = day_one()
    stage.state.lose("acorn", hosts=False)
    stage.state.hosts["acorn"].cut_off = {"cedar"}
    stage.break_next("vault.birch.put_new")
    stage.break_next("vault.elm.put_new")
    assert "TooFewVaults" in str(attempt(lambda: stage.operator.failover(to="birch")))
    other = stage.other_operator()
    other.failover(to="cedar", lost={"acorn"})
    stage.state.pass_time(30.0)
    assert stage.post(1, "cedar") == 1
    assert stage.post(1, "acorn") == 0


def test_the_old_site_comes_back() -> None:
    """A vendor lets us in again and the old host boots: it takes no write."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.operator.failover()
    stage.state.revive("acorn")
    assert stage.post(1, "acorn") == 0
    stage.state.pass_time(10.0)
    assert stage.post(1, "acorn") == 0
    assert stage.post(1, "birch") == 1


@pytest.mark.parametrize("fault", ["hijack", "bit-rot"])
def test_copies_are_attacked_before_the_vendor_goes(fault: str) -> None:
    """What one vault lost or holds altered comes from another one; nothing that was confirmed is missing."""
    stage = day_one()
    SimulatedGround(stage.state, stage.fleet, SimulatedUsers(stage.state, stage.fleet)).inject(fault, ("acorn",))
    stage.operator.failover()
    assert stage.post(1) == 1
    assert stage.state.confirmed <= set(stage.state.hosts["birch"].rows)


def test_and_back_again() -> None:
    """From acorn to birch, and home: what was written anywhere in between is there."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.operator.failover()
    assert stage.post(9) == 9
    stage.state.pass_time(1.0)
    stage.state.revive("acorn")
    stage.state.lose("birch")
    stage.operator.failover(to="acorn")
    assert stage.post(1) == 1
    assert {"post0", "post30", "post33"} <= set(stage.state.hosts["acorn"].rows)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("door", ["vault.elm.put_new", "plane.acorn.create", "plane.acorn.shape", "cloud.acorn.up"])
def test_the_first_day_can_be_interrupted(door: str, after: bool) -> None:  # noqa: FBT001
    """`up` that broke in the middle is run again, and the site gets its database."""
    stage = day_one()
    fresh = Stage(stage.fleet)
    fresh.break_next(door, after=after)
    fresh.break_next("vault.cedar.put_new", call=2)
    for _ in range(3):
        if attempt(lambda: fresh.operator.up("acorn")) is None:
            break
    assert fresh.post(1, "acorn") == 1


def test_a_vault_that_closes_at_the_end_does_not_undo_the_failover() -> None:
    """The site serves and one vault of two is gone: copies go to the other, and the command ends."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.break_next("vault.elm.verify", how="closed")
    stage.operator.failover()
    assert stage.post(1) == 1
    stage.operator.failover(to="birch") if unfinished(stage.world, "failover") else None


def test_too_few_vaults_change_nothing() -> None:
    """With one vault left no epoch can be sealed, and the plan says so before anything is done."""
    stage = day_one()
    stage.state.lose("acorn")
    for vendor in ("cedar", "elm"):
        stage.state.lose(vendor)
    before = {name: dict(held.objects) for name, held in stage.state.vaults.items()}
    with pytest.raises(TooFewVaults, match="Nothing was promoted"):
        stage.operator.failover(to="birch")
    assert before == {name: held.objects for name, held in stage.state.vaults.items()}
    assert "birch" not in stage.state.hosts


@pytest.mark.parametrize("action", ["media", "ledger", "lease", "start", "verify"])
def test_up_in_the_middle_of_a_failover(action: str) -> None:
    """Typed instead of the failover, it neither skips the lease nor moves the name to a site nobody verified."""
    stage = day_one()
    stage.state.lose("acorn", hosts=False)
    stage.state.pace = 0.0
    acorn = stage.state.hosts["acorn"]

    def part(door: str) -> None:
        if door.endswith("put_new"):
            acorn.cut_off = set(stage.state.vaults)

    stage.state.watchers.append(part)
    with pytest.raises(KeyboardInterrupt):
        stage.operator.asleep(partial(begins, action), interrupted).failover()
    attempt(partial(stage.operator.up, "birch"))
    assert not (may_acknowledge(stage.state, acorn) and stage.state.hosts["birch"].serving)
    assert attempt(stage.operator.failover) is None
    assert stage.post(1) == 1


def interrupted() -> None:
    """Somebody presses Ctrl-C."""
    raise KeyboardInterrupt
