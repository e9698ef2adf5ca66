"""Planned moves: nothing is lost, any doubt refuses them, and a vendor that relents is not trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from resilience.decide import plan_switchover
from resilience.engine import orders
from resilience.engine.execute import Approval, approve, execute, unfinished
from resilience.engine.observe import observe
from resilience.engine.steps import hand_over
from resilience.errors import Refused
from resilience.model import Site, SiteOutputs
from resilience.model import Stage as Gate
from resilience.model.fleet import Durability
from resilience.ports import Plane
from resilience.simulation.shipping import may_acknowledge
from tests.sim.plans import ORDER, PLANS, SIGNED, stood_by, with_a_standby
from tests.sim.stage import Stage, attempt, day_one
from tests.sim.sweep import How, breaks, tried


def written(stage: Stage) -> set[str]:
    """Every write that was acknowledged."""
    return set(stage.state.acknowledged)


def skipped(stage: Stage) -> int:
    """How many numbers of each sequence the last takeover skipped, by the journal."""
    done = [e.data for e in stage.world.log.read() if e.kind == "step-done" and e.data["action"] == "recover"]
    return int(done[-1]["facts"]["skipped"])


@pytest.mark.parametrize("durability", ["async", "quorum"])
def test_no_write_is_lost(durability: Durability) -> None:
    """Users write up to the last moment; the new site has all of it, also in async."""
    stage = day_one(durability)
    assert stage.post(10) == 10
    stage.operator.switchover()
    newest = stage.monitor.newest()
    assert newest is not None
    assert newest.site == "birch"
    assert written(stage) <= set(stage.state.hosts["birch"].rows)
    assert stage.post(1) == 1
    assert not may_acknowledge(stage.state, stage.state.hosts["acorn"])
    assert skipped(stage) == 0, "it stopped in order, so nobody was shown a number that is not here"


def test_users_go_on_reading_meanwhile() -> None:
    """From the moment writes pause until the name has moved, the old site lets read."""
    stage = day_one()
    seen: set[Gate] = set()

    def look(door: str) -> None:
        if door.startswith(("plane.birch.re", "app.birch")):
            seen.add(stage.state.hosts["acorn"].stage)

    stage.state.watchers.append(look)
    stage.operator.switchover()
    assert seen == {Gate.READ_ONLY}


def test_there_and_back_again() -> None:
    """What the old host had is set aside, the copy is made anew, and every write of both times is there."""
    stage = day_one()
    stage.operator.switchover(to="birch")
    assert stage.post(7) == 7
    stage.operator.switchover(to="acorn")
    assert stage.post(1) == 1
    assert written(stage) <= set(stage.state.hosts["acorn"].rows)


def test_a_vendor_that_relents_comes_home_by_a_switchover() -> None:
    """After a failover the old host boots with what it once had: not trusted, cloned anew, promoted with nothing lost."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.operator.failover()
    assert stage.post(9) == 9
    stage.state.revive("acorn")
    stage.state.hosts["acorn"].rows["forged"] = 0.0
    stage.state.pass_time(10.0)
    stage.operator.switchover(to="acorn")
    acorn = stage.state.hosts["acorn"]
    assert "forged" not in acorn.rows
    assert set(stage.state.hosts["birch"].rows) <= set(acorn.rows)
    assert stage.post(1) == 1


def test_old_pictures_are_there_before_writes_pause() -> None:
    """A cold site has each that was written before its hosts were ready; what comes after it opens is what was written since."""
    stage = day_one()
    before, lacked = set(stage.state.vaults["cedar"].pictures), list[set[str]]()
    assert len(before) > 20

    def look(door: str) -> None:
        if door == "plane.acorn.snapshot":
            stage.post(3, "acorn")
        if door == "gate.acorn.set":
            lacked.append(before - stage.state.hosts["birch"].pictures)

    stage.state.watchers.append(look)
    stage.operator.switchover()
    assert lacked == [set()]
    done = {e.data["action"]: e.data["facts"] for e in stage.state.events if e.kind == "step-done"}
    assert done["media"] == {"fetched": 3, "missing": 0}


@pytest.mark.parametrize(("hours", "within_s"), [(None, 20 * 3600.0), (2, 2 * 3600.0), (-1, None)])
def test_old_pictures_have_half_of_the_notice(hours: float | None, within_s: float | None) -> None:
    """Without a deadline they have long; with one until then, and where that is over the move does not wait for them."""
    stage = day_one()
    plane = Timed(stage.world.plane)
    until = None if hours is None else stage.state.now + hours * 3600
    plan = plan_switchover(stage.fleet, observe(stage.world, stage.fleet), to="birch", pictures_until=until)
    accepted = frozenset(hazard.name for hazard in plan.hazards)
    approve(stage.world, plan, Approval(plan.digest, accepted, "operator"))
    execute(replace(stage.world, plane=cast("Plane", plane)), stage.fleet, plan)
    assert plane.had == ([pytest.approx(within_s, abs=300)] if within_s else [])
    assert stage.post(1) == 1


@dataclass
class Timed:
    """The data plane that notes how long pictures may take."""

    plane: Plane
    had: list[float] = field(default_factory=list)

    def fetch_ahead(self, site: Site, outputs: SiteOutputs, within_s: float) -> Any:
        """As it is."""
        self.had.append(within_s)
        return self.plane.fetch_ahead(site, outputs, within_s)

    def without(self, vaults: frozenset[str], *, forced: bool = False) -> Plane:
        """The same, with no door to these vaults."""
        return cast("Plane", Timed(self.plane.without(vaults, forced=forced), self.had))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plane, name)


@pytest.mark.parametrize("how", ["error", "killed"])
def test_bringing_them_is_interrupted_anywhere(how: How) -> None:
    """Before or after its effect: users write on meanwhile, and the same command, run again, ends well."""
    home = PLANS["switchover home"]
    tries = [planned for planned in breaks(home, how) if planned.door == "plane.acorn.fetch_ahead"]
    assert [planned.after for planned in tries] == [False, True]
    for planned in tries:
        assert tried(home, planned, "async").stopped


@dataclass
class Spoiled:
    """The data plane where one picture opens nowhere as it was."""

    plane: Plane
    picture: str
    left: int
    """How many there was no time for."""

    def fetch_ahead(self, site: Site, outputs: SiteOutputs, within_s: float) -> dict[str, Any]:
        """All but that one."""
        return {**self.plane.fetch_ahead(site, outputs, within_s), "lost": [self.picture], "left": self.left}

    def out_of_reach(self, site: Site, outputs: SiteOutputs, named: Sequence[str] = ()) -> list[str]:
        """That one as well, where a row names it."""
        return [*self.plane.out_of_reach(site, outputs, named), *({self.picture} & {*named})]

    def without(self, vaults: frozenset[str], *, forced: bool = False) -> Plane:
        """The same, with no door to these vaults."""
        return cast("Plane", Spoiled(self.plane.without(vaults, forced=forced), self.picture, self.left))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plane, name)


@pytest.mark.parametrize("left", [0, 9])
@pytest.mark.parametrize(("picture", "moves"), [("post7", False), ("post3", True), ("nobody's", True)])
def test_a_picture_that_cannot_be_had_refuses_it_before_anybody_notices(
    picture: str,
    moves: bool,  # noqa: FBT001
    left: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Users write on where a row that is shown names it; one that was taken down or is nobody's is in nobody's way."""
    monkeypatch.setattr(hand_over, "DRAIN_S", 0.2)
    stage = day_one()
    plane = cast("Plane", Spoiled(stage.world.plane, picture, left))
    stage.operator = replace(stage.operator, world=replace(stage.world, plane=plane))
    closed = stage.state.doors.calls["gate.acorn.set"]
    said = attempt(stage.operator.switchover)
    if moves:
        assert said is None
    else:
        assert said == "Refused: acorn goes on serving: 1 pictures that rows name could not be brought to birch."
        assert stage.state.doors.calls["gate.acorn.set"] == closed
        assert stage.post(1, "acorn") == 1
        stage.operator = replace(stage.operator, world=stage.world)
        assert attempt(stage.operator.switchover) is None
    assert stage.post(1) == 1


@pytest.mark.parametrize("here", [True, False], ids=["on the old host alone", "nowhere at all"])
@pytest.mark.parametrize("begin", [day_one, stood_by])
def test_a_picture_in_no_vault_refuses_it_before_anybody_notices(
    begin: Callable[[], Stage],
    here: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No queue has it, so no drain waits for it: what rows name is looked for while everybody can write; mended, it goes through."""
    monkeypatch.setattr(hand_over, "DRAIN_S", 0.2)
    stage = begin()
    stage.state.pass_time(1.0)
    stage.state.moderators = 1
    stage.operator.open("acorn", Gate.SIGN_UPS)
    held = [vault.pictures for vault in stage.state.vaults.values()]
    held += [host.pictures for site, host in stage.state.hosts.items() if site != "acorn" or not here]
    for pictures in held:
        pictures -= {"post7", "post3"}  # post3 was taken down
    closed = stage.state.doors.calls["gate.acorn.set"]
    assert attempt(stage.operator.switchover) == (
        "Refused: acorn goes on serving: 1 pictures that rows name could not be brought to birch."
    )
    assert stage.state.doors.calls["gate.acorn.set"] == closed
    goes_on_serving(stage)
    stage.state.vaults["elm"].pictures.add("post7")
    assert attempt(stage.operator.switchover) is None
    assert stage.post(1) == 1


def test_a_picture_on_its_way_refuses_nothing() -> None:
    """A standby may have a row before any vault has its picture: it is asked for once more."""
    stage = slow(stood_by, 1, "birch", "cedar", "elm")
    looks: list[str] = []

    def look(door: str) -> None:
        if door == "plane.birch.out_of_reach":
            looks.append(door)
            stage.state.hosts["acorn"].slow = set()
            stage.state.pass_time(1.0)

    stage.state.watchers.append(look)
    assert attempt(stage.operator.switchover) is None
    assert len(looks) == 2
    assert written(stage) <= stage.state.hosts["birch"].pictures


@pytest.mark.parametrize("words", [{"age_s": 600.0}, {"lag_seconds": None}])
def test_a_standby_that_says_nothing_is_not_gone_to(words: Mapping[str, Any]) -> None:
    """What its rows name is of then: nobody knows of each picture since that it can be had."""
    stage = stood_by()
    plan = plan_switchover(stage.fleet, observe(stage.world, stage.fleet), to="birch")
    approve(stage.world, plan, Approval(plan.digest, frozenset(hazard.name for hazard in plan.hazards), "operator"))
    with pytest.raises(Refused, match="acorn goes on serving") as refused:
        execute(replace(stage.world, plane=LastWords(stage.world.plane, words, "plan")), stage.fleet, plan)
    assert "resilience-follow" in refused.value.why
    assert stage.post(1, "acorn") == 1


def test_a_hot_site_that_does_not_follow_is_gone_to_as_a_cold_one() -> None:
    """Its copy is made anew, which takes as long: that is a hazard, and pictures come before writes pause."""
    stage = with_a_standby(day_one())
    plan = plan_switchover(stage.fleet, observe(stage.world, stage.fleet), to="birch")
    assert "long-pause" in {hazard.name for hazard in plan.hazards}
    assert [step.action for step in plan.steps][:5] == ["provision", "clear", "prepare", "ahead", "snapshot"]
    assert attempt(stage.operator.switchover) is None
    assert stage.post(1) == 1


def test_a_long_pause_is_a_hazard_of_its_own() -> None:
    """To a cold site it is done only once that is accepted by its name; to one that follows nothing has to be."""
    stage = day_one()
    cold = plan_switchover(stage.fleet, observe(stage.world, stage.fleet), to="birch")
    assert [hazard.why for hazard in cold.hazards if hazard.name == "long-pause"] == [
        "birch is cold: nobody can write while a copy is brought there; a hot standby pauses for seconds."
    ]
    others = frozenset(hazard.name for hazard in cold.hazards) - {"long-pause"}
    with pytest.raises(Refused, match="long-pause"):
        approve(stage.world, cold, Approval(cold.digest, others, "operator"))
    standing = stood_by()
    hot = plan_switchover(standing.fleet, observe(standing.world, standing.fleet), to="birch")
    assert "long-pause" not in {hazard.name for hazard in hot.hazards}


@pytest.mark.parametrize("vendor", ["birch", "cedar", "elm", "dover"])
def test_any_doubt_refuses_it(vendor: str) -> None:
    """A vault, a zone or the target's vendor that does not answer: nothing is done, and users write on."""
    stage = day_one()
    stage.state.lose(vendor)
    with pytest.raises(Refused):
        stage.operator.switchover()
    assert stage.post(1, "acorn") == 1


def test_vaults_that_stay_behind_leave_everything_as_it_was() -> None:
    """One vault can't be reached from the old site: it is opened again, and nobody was fenced."""
    stage = day_one()
    stage.state.hosts["acorn"].cut_off = {"elm"}
    stage.post(3, "acorn")
    with pytest.raises(Refused, match="goes on serving"):
        stage.operator.switchover()
    assert stage.post(1, "acorn") == 1
    newest = stage.monitor.newest()
    assert newest is not None
    assert newest.number == 1


def slow(begin: Callable[[], Stage], pictures: int = 3, *vaults: str) -> Stage:
    """A stage where elm, or these vaults, take WAL and, for now, no picture: so many wait for each, and nothing else does."""
    stage = begin()
    stage.state.pass_time(1.0)
    stage.state.hosts["acorn"].slow = {*vaults} or {"elm"}
    assert stage.post(pictures, "acorn") == pictures
    stage.state.pass_time(1.0)
    seen = stage.world.plane.shipped(stage.fleet.site("acorn"), stage.state.outputs["acorn"])["vaults"]
    assert {vault: (told["lag_bytes"], told["backlog_objects"]) for vault, told in seen.items()} == {
        vault: (0, pictures if vault in stage.state.hosts["acorn"].slow else 0) for vault in stage.state.vaults
    }
    return stage


def goes_on_serving(stage: Stage) -> None:
    """As far open as it was, under its epoch; users can write."""
    assert stage.state.hosts["acorn"].stage == Gate.SIGN_UPS
    assert stage.post(1, "acorn") == 1
    newest = stage.monitor.newest()
    assert newest is not None
    assert newest.number == 1


@pytest.mark.parametrize("vaults", [("elm",), ("birch", "cedar")])
@pytest.mark.parametrize("begin", [day_one, stood_by])
def test_pictures_that_a_vault_still_lacks_refuse_it(
    begin: Callable[[], Stage], vaults: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All WAL is there, and they are not: sealed away they would be on the old host alone. It is opened again as it was."""
    monkeypatch.setattr(hand_over, "DRAIN_S", 0.2)
    stage = slow(begin, 3, *vaults)
    stage.state.moderators = 1
    stage.operator.open("acorn", Gate.SIGN_UPS)
    closed = stage.state.doors.calls["gate.acorn.set"]
    with pytest.raises(Refused, match="acorn goes on serving") as refused:
        stage.operator.switchover()
    assert all(f"{vault} lacks 3 objects" in refused.value.why for vault in vaults)
    assert stage.state.doors.calls["gate.acorn.set"] == closed + 2
    goes_on_serving(stage)


@pytest.mark.parametrize("begin", [day_one, stood_by])
def test_pictures_that_go_while_it_drains_come_along(begin: Callable[[], Stage]) -> None:
    """Waited for, while writes pause; then the move goes on, and no picture is on the old host alone."""
    stage, looks = slow(begin), list[str]()
    acorn = stage.state.hosts["acorn"]

    def look(door: str) -> None:
        if door == "plane.acorn.shipped" and acorn.stage == Gate.READ_ONLY:
            looks.append(door)
            acorn.slow = {"elm"} if len(looks) < 2 else set()

    stage.state.watchers.append(look)
    stage.operator.switchover()
    assert len(looks) > 2
    assert acorn.pictures <= stage.state.vaults["elm"].pictures
    assert written(stage) <= set(stage.state.hosts["birch"].rows) & stage.state.hosts["birch"].pictures
    assert stage.post(1) == 1


def test_nobody_waits_for_more_pictures_than_a_pause_has_time_for() -> None:
    """Refused while everybody can write; typed again once most have gone, it goes through."""
    stage = slow(day_one, 101)
    stage.state.moderators = 1
    stage.operator.open("acorn", Gate.SIGN_UPS)
    closed = stage.state.doors.calls["gate.acorn.set"]
    with pytest.raises(Refused, match="acorn goes on serving") as refused:
        stage.operator.switchover()
    assert "elm lacks 101 objects" in refused.value.why
    assert stage.state.doors.calls["gate.acorn.set"] == closed
    goes_on_serving(stage)
    stage.state.hosts["acorn"].slow = set()
    stage.state.pass_time(1.0)
    assert attempt(stage.operator.switchover) is None


def test_what_ship_said_before_the_site_was_closed_drains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its word may be a second old: a picture that was handed over since is in nobody's count yet."""
    monkeypatch.setattr(hand_over, "DRAIN_S", 0.2)
    stage = day_one()
    stage.state.pass_time(1.0)
    stage.operator.world = replace(stage.operator.world, plane=LastWords(stage.world.plane, {"age_s": 4.9}, "drain"))
    with pytest.raises(Refused, match="acorn goes on serving") as refused:
        stage.operator.switchover()
    assert "since it was closed" in refused.value.why
    assert stage.post(1, "acorn") == 1


@dataclass
class LastWords:
    """The simulated data plane, whose ship died, or gets nothing from Postgres: it says all is well, as it did then."""

    inner: Any
    words: Mapping[str, Any]
    dies: str
    """Before the plan is made, before the site is closed, or before it is drained."""
    asked: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def without(self, vaults: frozenset[str], *, forced: bool = False) -> LastWords:
        """The same with fewer vaults."""
        return replace(self, inner=self.inner.without(vaults, forced=forced))

    def status(self, site: Any, outputs: Any) -> Mapping[str, Any]:
        """What `plan` sees."""
        return {**self.inner.status(site, outputs), **(self.words if self.dies == "plan" else {})}

    def shipped(self, site: Any, outputs: Any) -> Mapping[str, Any]:
        """What is seen before the site is closed, and then by the drain."""
        self.asked.append(site.name)
        alive = self.dies == "drain" and len(self.asked) == 1
        return {**self.inner.shipped(site, outputs), **({} if alive else self.words)}


WORDS: list[tuple[dict[str, Any], str]] = [
    ({"age_s": 600.0}, "last said something 600 s ago"),
    ({"age_s": -600.0}, "last said something at an unknown time"),
    ({"postgres_error": "Postgres refuses the connection"}, "gets nothing from Postgres"),
    ({"turning": "fewer than 2 of the vaults that stay hold all"}, "has not turned to its vault set yet"),
]


@pytest.mark.parametrize(("words", "why"), WORDS)
@pytest.mark.parametrize("dies", ["plan", "close", "drain"])
def test_what_a_ship_said_that_died_since_drains_nothing(
    words: Mapping[str, Any], why: str, dies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen before the site is closed, nobody is kept from writing; else it is opened again as it was. Nobody is fenced."""
    monkeypatch.setattr(hand_over, "DRAIN_S", 0.2)
    stage = day_one()
    stage.operator.world = replace(stage.operator.world, plane=LastWords(stage.world.plane, words, dies))
    opened: list[Gate] = []
    stage.state.watchers.append(lambda _: opened.append(stage.state.hosts["acorn"].stage))
    with pytest.raises(Refused) as refused:
        stage.operator.switchover()
    assert why in refused.value.what + refused.value.why
    assert "systemctl restart" in refused.value.what + refused.value.why or "journalctl" in str(refused.value)
    assert (Gate.READ_ONLY in opened) == (dies == "drain")
    assert stage.post(1, "acorn") == 1
    newest = stage.monitor.newest()
    assert newest is not None
    assert newest.number == 1


@pytest.mark.parametrize("stage_before", [Gate.READ_ONLY, Gate.WRITES, Gate.SIGN_UPS])
def test_it_stays_as_far_open_as_it_was(stage_before: Gate) -> None:
    """Refused, also when typed again, the old site is opened no further than before; moved, neither is the new one."""
    stage = day_one()
    acorn = stage.state.hosts["acorn"]
    stage.state.moderators = 1
    acorn.cut_off = {"elm"}
    stage.post(3, "acorn")
    stage.operator.open("acorn", stage_before)
    for _ in range(2):
        assert isinstance(attempt(stage.operator.switchover), str)
        assert acorn.stage == stage_before
    acorn.cut_off = set()
    stage.state.pass_time(1.0)
    assert attempt(stage.operator.switchover) is None
    assert stage.state.hosts["birch"].stage == stage_before


def test_a_closed_site_is_not_moved() -> None:
    """Nobody could see that it has."""
    stage = day_one()
    stage.operator.open("acorn", Gate.CLOSED)
    with pytest.raises(Refused, match="acorn is closed"):
        stage.operator.switchover()


def test_a_move_that_was_refused_is_planned_anew() -> None:
    """Nothing was decided: what was approved was for facts of then, and an order since needs somebody who signs."""
    stage = day_one()
    stage.state.hosts["acorn"].cut_off = {"elm"}
    stage.post(3, "acorn")
    assert "goes on serving" in str(attempt(stage.operator.switchover))
    assert unfinished(stage.world, "switchover") is None
    stage.state.hosts["acorn"].cut_off = set()
    stage.state.pass_time(1.0)
    orders.record(stage.world, ORDER)
    assert str(attempt(stage.operator.switchover)).startswith("Refused: Nobody signed off")
    assert stage.post(1, "acorn") == 1
    stage.operator.sign_offs = (SIGNED,)
    assert attempt(stage.operator.switchover) is None
    assert written(stage) <= set(stage.state.hosts["birch"].rows)


def test_a_drain_that_was_killed_goes_on() -> None:
    """Nobody was told anything: interrupted, it is still the plan that was approved."""
    stage = day_one()
    stage.break_next("plane.acorn.shipped", how="killed", call=2)
    assert "killed" in str(attempt(stage.operator.switchover))
    assert unfinished(stage.world, "switchover") is not None
    assert attempt(stage.operator.switchover) is None
    assert stage.post(1) == 1


def test_the_old_vendor_closes_in_the_middle() -> None:
    """Sealed, and the old site is gone before it said what it wrote: no promotion; the failover goes on from there."""
    stage = day_one()
    stage.break_next("plane.acorn.stand_down", how="closed")
    assert attempt(stage.operator.switchover) is not None
    assert not stage.state.hosts["birch"].promoted_under
    stage.operator.failover(to="birch", lost={"acorn"})
    assert stage.post(1) == 1


def test_a_standby_s_address_is_in_no_zone_before_it_serves() -> None:
    """Not while it is made, cloned or looked at: the old vendor's own zone would lead there."""
    stage = day_one()
    shown: dict[str, set[str]] = {}

    def look(door: str) -> None:
        birch = stage.state.outputs.get("birch")
        for vendor, addresses in stage.state.zones.items():
            if birch and birch.addresses[0] in addresses:
                shown.setdefault(vendor, set()).add(str(stage.state.hosts["birch"].stage))

    stage.state.watchers.append(look)
    stage.operator.up("birch")
    assert shown == {}
    stage.operator.switchover(to="birch")
    assert set(shown) == {"acorn", "dover"}
    assert set().union(*shown.values()) <= {"writes", "sign-ups"}


def test_in_a_failover_the_old_vendor_s_zone_never_learns_the_new_address() -> None:
    """Nobody calls it, whatever it serves."""
    stage = day_one()
    stage.state.lose("acorn")
    before = stage.state.zones["acorn"]
    stage.operator.failover()
    assert stage.state.zones["acorn"] == before
    assert stage.state.zones["dover"] == stage.state.outputs["birch"].addresses


def test_interrupted_by_another_operator_it_is_refused() -> None:
    """Somebody fails over while this one drains: the seal is not ours, and nothing is opened here."""
    stage = day_one()

    def takes_over() -> None:
        stage.state.lose("acorn", hosts=False)
        stage.other_operator().failover(to="cedar")

    sleeper = stage.operator.asleep(
        lambda event: event.kind == "step-started" and event.data["action"] == "seal", takes_over
    )
    with pytest.raises(Refused):
        sleeper.switchover(to="birch")
    assert stage.post(1, "cedar") == 1
