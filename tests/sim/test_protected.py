"""Protected again: the vault set, the next standby and the second clock, after a failover and where the app stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from resilience.decide import plan_failover, plan_protect, plan_vaults
from resilience.decide.quorum import newest_epoch
from resilience.engine import drill as drilling
from resilience.engine.drill import Drill
from resilience.engine.due import plan_due
from resilience.engine.execute import Approval, approve, execute
from resilience.engine.observe import observe, survey_after_loss
from resilience.errors import Refused, ResilienceError, TooFewVaults, VaultError
from resilience.judge import judge
from resilience.model import EpochRecord, Event, Fleet, SiteOutputs, Unknown
from resilience.ports import World
from resilience.render import report_html
from resilience.replication import epoch as epochs
from resilience.replication import layout
from resilience.simulation.app import SimApp
from resilience.simulation.doors import Killed
from resilience.simulation.plane import SimPlane
from resilience.simulation.shipping import would_acknowledge
from tests.sim.drills import as_if_real, run
from tests.sim.plans import one_vault_and_no_primary
from tests.sim.stage import Stage, attempt, begun, day_one, fleet_with


def noted(stage: Stage, kind: str) -> list[Event]:
    """Lines of the journal of this kind."""
    return [event for event in stage.state.events if event.kind == kind]


def hot(fleet: Fleet, name: str) -> Fleet:
    """The fleet with this site as a hot standby."""
    return replace(
        fleet, sites=tuple(replace(site, standby="hot") if site.name == name else site for site in fleet.sites)
    )


def test_a_vault_is_lost_and_the_app_stays() -> None:
    """The set changes without a stop; later the app's own vendor goes as well, and everything is at the next site."""
    stage = day_one("quorum")
    stage.state.lose("elm")
    stage.operator.protect(("elm",))
    newest = stage.monitor.newest()
    assert newest is not None
    assert (newest.number, newest.site, set(newest.vaults)) == (2, "acorn", {"birch", "cedar"})
    assert noted(stage, "protected-again")[-1].data["vaults"] == ["birch", "cedar"]
    assert noted(stage, "next-standby")[-1].data == {"site": "birch", "standby": "cold", "account": True}
    assert stage.post(5, "acorn") == 5
    stage.state.pass_time(1.0)
    acknowledged = set(stage.state.acknowledged)
    assert len(acknowledged) > 20
    stage.state.lose("acorn")
    assert {h["name"] for h in noted(stage, "plan")[-1].data["plan"]["hazards"]} == {"no-spare-vault"}
    stage.operator.failover(lost=("elm",))
    assert acknowledged <= set(stage.state.hosts["birch"].rows)


def test_a_hot_standby_is_brought_up_at_the_next_vendor() -> None:
    """After a failover to birch cedar follows birch, and after the next loss it takes over."""
    stage = day_one()
    stage.fleet = hot(stage.fleet, "cedar")
    stage.state.lose("acorn")
    stage.operator.failover()
    assert stage.state.hosts["cedar"].follows
    assert noted(stage, "next-standby")[-1].data["site"] == "cedar"
    clock = noted(stage, "protected-again")[-1].at
    followed = next(e for e in noted(stage, "step-done") if e.data["action"] == "follow")
    assert clock < followed.at


def test_the_second_clock_runs_until_the_set_can_seal() -> None:
    """A vault that dies while the failover runs: users are served, a copy is verified, and it is not called protected."""
    stage = day_one()
    stage.state.lose("acorn")
    before = len(noted(stage, "protected-again"))
    die = lambda door: stage.state.lose("elm") if door == "plane.birch.snapshot" else None  # noqa: E731
    stage.state.watchers.append(die)
    stage.operator.failover()
    protect = [e for e in noted(stage, "step-done") if e.data["action"] == "protect"][-1]
    assert protect.data["facts"]["verified"] == ["cedar"]
    assert protect.data["facts"]["protected"] is False
    assert len(noted(stage, "protected-again")) == before
    assert stage.post(1) == 1


def test_who_leaves_with_the_new_vendor_is_no_way_on() -> None:
    """Cedar is expected to go with birch: it is no next standby, and that none is left is said before."""
    stage = day_one(birch=("cedar",))
    stage.fleet = hot(stage.fleet, "cedar")
    stage.state.lose("acorn")
    stage.operator.failover()
    hazards = {h["name"]: h["why"] for h in noted(stage, "plan")[-1].data["plan"]["hazards"]}
    assert "If birch leaves as well, and cedar with it," in hazards["no-next-standby"]
    assert noted(stage, "next-standby") == []
    assert "cedar" not in stage.state.hosts
    assert stage.post(1) == 1


def test_a_copy_at_who_leaves_with_it_protects_nobody() -> None:
    """Elm's copy could not be read back, and cedar's goes when birch goes: users are served, unprotected."""
    stage = day_one(birch=("cedar",))
    stage.state.lose("acorn")
    before = len(noted(stage, "protected-again"))
    stage.break_next("vault.elm.verify")
    stage.operator.failover()
    facts = [e for e in noted(stage, "step-done") if e.data["action"] == "protect"][-1].data["facts"]
    assert (facts["verified"], facts["protected"]) == (["cedar"], False)
    assert len(noted(stage, "protected-again")) == before
    stage.operator.up("birch", frozenset({"acorn"}))
    assert noted(stage, "protected-again")[-1].data["vaults"] == ["elm"]


def test_a_dead_vault_that_cannot_be_done_without_is_said() -> None:
    """Both vaults of the new set are needed: with one gone before the copies are made, the command stops and says which."""
    stage = day_one()
    stage.state.lose("acorn")
    before = len(noted(stage, "protected-again"))
    die = lambda door: stage.state.lose("elm") if door.startswith("outside") else None  # noqa: E731
    stage.state.watchers.append(die)
    said = str(attempt(stage.operator.failover))
    assert said.startswith(TooFewVaults.__name__)
    assert "could not be left" in said
    assert len(noted(stage, "protected-again")) == before


def test_vaults_that_come_back_into_the_set_are_filled() -> None:
    """Home again after a time at birch: birch's vault, which was in no set meanwhile, holds what the others hold."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.operator.failover()
    stage.post(5)
    stage.state.revive("acorn")
    stage.state.pass_time(40.0)
    stage.operator.switchover("acorn")
    held = {name: stage.state.vaults[name].objects for name in ("birch", "cedar")}
    ledgers = {name: {key for key in objects if key.startswith("ledger/")} for name, objects in held.items()}
    assert ledgers["birch"] == ledgers["cedar"] != set()
    assert any(event.data["action"] == "fill" for event in noted(stage, "step-done"))


def test_from_one_vault_to_three_it_takes_two_plans() -> None:
    """The set was forced to one vault, and the others are back: no copy is confirmed by fewer than before, none is missing."""
    stage = day_one("quorum")
    stage.state.lose("cedar", hosts=False)
    stage.state.lose("elm")
    stage.state.watchers.clear()  # what the monitor looks for is what is given up here
    stage.operator.protect(("cedar", "elm"), force=True)
    for vendor in ("cedar", "elm"):
        stage.state.revive(vendor)
    sets = []
    for _ in range(2):
        stage.operator.vaults()
        newest = newest_epoch(observe(stage.world, stage.fleet))
        assert newest is not None
        sets.append((newest.vaults, newest.k, newest.s))
        assert stage.post(1, "acorn") == 1
    assert sets == [(("birch", "cedar", "elm"), 1, 3), (("birch", "cedar", "elm"), 2, 2)]
    assert plan_vaults(stage.fleet, observe(stage.world, stage.fleet)).steps == ()


@pytest.mark.parametrize("lost", [("elm",), ("cedar", "dover"), ("birch", "dover")])
def test_nobody_calls_a_vendor_that_is_not_the_apps_own(lost: tuple[str, ...]) -> None:
    """Neither before nor after the set changed; the app is protected by what is left, and the verdict says how thinly."""
    events = as_if_real(run(Drill(lost=lost, simulated=True)))
    verdict = judge(events)
    assert "acorn went on serving" in report_html(events, verdict)
    assert (verdict.verdict, verdict.why) == ("met", ())
    assert verdict.blackhole.calls == 0
    assert not set(verdict.protection.vaults) & set(lost)
    assert verdict.protection.thin[0] == "no-spare-vault"


def test_only_what_was_counted_later_counts() -> None:
    """What ship sent to a silent vault before it knew is taken off, place by place; all that came after is left."""
    ship = {"from": "acorn-1", "vendor": "elm", "address": "198.18.5.3", "port": 80}
    operator = {**ship, "from": "operator"}
    before = [{**ship, "attempts": 63}]
    now = [{**ship, "attempts": 70}, {**operator, "attempts": 6}]
    assert drilling._later(now, before) == [{**ship, "attempts": 7}, {**operator, "attempts": 6}]
    assert drilling._later(before, before) == []


def test_nobody_is_led_to_a_site_that_a_failover_left_half_done() -> None:
    """Birch may write and was never looked at: `protect` moves no name there, says so, and the failover goes on."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.break_next("plane.birch.restore", how="killed")
    assert "killed" in str(attempt(stage.operator.failover))
    named = dict(stage.state.zones)
    said = attempt(lambda: stage.operator.protect(("acorn",)))
    assert said == "ResilienceError: birch may write and does not serve."
    assert stage.state.zones == named
    assert attempt(stage.operator.failover) is None
    assert stage.post(1) == 1


@pytest.mark.parametrize("lost", [("birch", "cedar"), ("birch", "elm"), ("cedar", "elm")])
def test_too_few_vaults_are_left_and_the_set_becomes_what_is_left(lost: tuple[str, ...]) -> None:
    """Its lease runs out: by the operator's word alone it writes again, into the one vault that is left."""
    events = as_if_real(run(Drill(lost=lost, simulated=True)))
    verdict = judge(events)
    assert (verdict.verdict, verdict.why) == ("met", ())
    assert verdict.protection.thin[0] == "single-vault-left"
    assert len(verdict.protection.vaults) == 1


def test_posts_that_wait_close_the_app_and_hide_no_ship(monkeypatch: pytest.MonkeyPatch) -> None:
    """In quorum too few vaults are left to confirm and the app is not ready; ship says that none lacks anything: users come first."""

    def ready(app: SimApp, outputs: SiteOutputs) -> bool:
        host = app.sim.hosts[outputs.site]
        return host.serving and would_acknowledge(app.sim, host)

    monkeypatch.setattr(SimApp, "serving", ready)
    stage = day_one("quorum")
    for vendor in ("cedar", "elm"):
        stage.state.lose(vendor)
    stage.state.watchers.clear()  # what the monitor looks for is what is given up here
    dead = frozenset({"cedar", "elm"})
    seen = observe(stage.world, stage.fleet, dead)
    assert seen.sites["acorn"].serving is False
    plan = plan_protect(stage.fleet, seen, declared=dead, force=True)
    assert "no-copy-yet" not in {hazard.name for hazard in plan.hazards}
    actions = [step.action for step in plan.steps]
    assert actions.index("turn") < actions.index("verify") < actions.index("protect")
    stage.operator.protect(dead, force=True)
    assert stage.post(1, "acorn") == 1


@pytest.mark.parametrize("gap", [{"from": "0/1", "until": "0/2"}, None], ids=["lost", "nothing"])
def test_a_ship_that_was_silent_is_asked_before_anybody_posts(
    monkeypatch: pytest.MonkeyPatch, gap: dict[str, str] | None
) -> None:
    """It was down while the plan was made: where it says after the turn that WAL is lost, a copy is taken and read back before a journey is walked."""
    stage = day_one("quorum")
    for vendor in ("cedar", "elm"):
        stage.state.lose(vendor)
    stage.state.watchers.clear()
    stage.break_next("plane.acorn.status")
    plane = type(stage.world.plane)
    said = plane.shipped
    monkeypatch.setattr(plane, "shipped", lambda *asked: {**said(*asked), "gap": gap})
    called: list[str] = []
    stage.state.watchers.append(called.append)
    stage.operator.protect(("cedar", "elm"), force=True)
    walked = next(place for place, door in enumerate(called) if door.startswith("outside."))
    assert (called.index("plane.acorn.read_back") < walked) == (gap is not None)


def test_a_snapshot_that_posts_wait_for_is_taken_by_the_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """In quorum the app is not ready until a snapshot leads past lost WAL: ship says so, and that is enough."""
    stage, shipped = day_one("quorum"), SimPlane.shipped
    stage.state.pass_time(2 * 86400.0)
    stage.state.hosts["acorn"].serving = False
    with pytest.raises(ResilienceError, match="A snapshot is due, and acorn does not answer"):
        plan_due(stage.world, stage.fleet)

    def lost(plane: SimPlane, *args: Any) -> dict[str, Any]:
        return {**shipped(plane, *args), "gap": {"from": "0/1", "until": "0/2"}}

    monkeypatch.setattr(SimPlane, "shipped", lost)
    assert (plan := plan_due(stage.world, stage.fleet)) is not None
    assert [step.action for step in plan.steps] == ["protect"]


def test_what_ship_said_before_it_ended_tells_nothing_of_now() -> None:
    """The lease ran out and ship ended; its file is still there, and old."""
    stage = day_one()
    for vendor in ("cedar", "elm"):
        stage.state.lose(vendor)
    stage.state.watchers.clear()
    stage.state.pass_time(60.0)
    stage.state.hosts["acorn"].serving = False
    assert stage.state.hosts["acorn"].fenced
    seen = observe(stage.world, stage.fleet, frozenset({"cedar", "elm"}))
    assert seen.sites["acorn"].ship == Unknown("the site does not serve")


def test_the_last_vault_may_be_one_that_lacks_headers() -> None:
    """A locked vault that was alone in the set gives the next one what it has, and gets what it lacks: three losses, one after the other."""
    fleet = fleet_with("quorum")
    vaults = tuple(replace(vault, lock_days=30) if vault.name == "elm" else vault for vault in fleet.vaults)
    stage = begun(replace(fleet, vaults=vaults))
    sets = []
    for lost, to in (("acorn", "birch"), ("birch", "cedar"), ("cedar", "acorn")):
        stage.state.lose(lost)
        stage.operator.failover(to=to)
        newest = stage.monitor.newest()
        assert newest is not None
        sets.append(newest.vaults)
        stage.state.revive(lost)
        stage.state.pass_time(60.0)
        assert stage.post(1, to) == 1
        stage.state.pass_time(1.0)
    assert sets == [("cedar", "elm"), ("elm",), ("birch", "elm")]
    ledger = {
        name: {key for key in held.objects if key.startswith("ledger/")} for name, held in stage.state.vaults.items()
    }
    assert ledger["birch"] == ledger["elm"]


def test_the_set_is_not_forced_past_another_sites_epoch() -> None:
    """Somebody failed over meanwhile and the vault that is left shows it: the site that stayed is not opened again."""
    stage = day_one("quorum")
    for vendor in ("cedar", "elm"):
        stage.state.lose(vendor)
    stage.state.watchers.clear()  # what the monitor looks for is what is given up here
    dead = frozenset({"cedar", "elm"})
    plan = plan_protect(stage.fleet, observe(stage.world, stage.fleet, dead), declared=dead, force=True)
    names = [hazard.name for hazard in plan.hazards]
    assert names[:2] == ["split-brain", "single-vault-left"]
    with pytest.raises(Refused, match="split-brain"):
        approve(stage.world, plan, Approval(plan.digest, frozenset(names) - {"split-brain"}, "operator"))
    approve(stage.world, plan, Approval(plan.digest, frozenset(names), "operator"))
    rival = sealed_alone(stage, "cedar", "birch")
    with pytest.raises(Refused, match=f"Epoch {rival.number} was sealed by somebody else"):
        execute(stage.world, stage.fleet, plan)


def sealed_alone(stage: Stage, site: str, vault: str) -> EpochRecord:
    """Another operator's next epoch, in one vault."""
    old = stage.monitor.newest()
    assert old is not None
    record = epochs.make_record(
        number=old.number + 1,
        site=site,
        nonce="rival",
        parent=old.number,
        vaults=(vault,),
        k=1,
        s=1,
        sealed_at=stage.state.now,
        signer=stage.world.signer.site_key(site, old.number + 1),
        sign=stage.world.signer.sign,
    )
    stage.world.vaults[vault].put_new(layout.epoch(record.number), epochs.encode(record))
    return record


def test_a_forced_set_has_no_vault_that_was_not_in_it() -> None:
    """Cedar was left out before and is back: what acorn shipped meanwhile is not there, so it comes in later, by `vaults`."""
    stage = day_one()
    stage.state.lose("cedar")
    stage.operator.protect(("cedar",))
    stage.state.revive("cedar")
    stage.state.lose("elm")
    dead = frozenset({"elm"})
    plan = plan_protect(stage.fleet, observe(stage.world, stage.fleet, dead), declared=dead, force=True)
    sealed = next(step for step in plan.steps if step.action == "seal")
    assert sealed.args["vaults"] == ["birch"]
    assert (sealed.args["k"], sealed.args["s"]) == (1, 1)


def test_a_forced_set_is_gone_on_with_from_another_machine() -> None:
    """The one that sealed it died before the site's host heard of it: the same command elsewhere tells the host."""
    stage = day_one("quorum")
    dead = frozenset({"cedar", "elm"})
    for vendor in dead:
        stage.state.lose(vendor)
    stage.state.watchers.clear()  # what the monitor looks for is what is given up here
    stage.break_next("plane.acorn.force_turn", how="killed")
    with pytest.raises(Killed):
        force(stage, stage.world, dead)
    assert not stage.post(1, "acorn")
    actions = force(stage, stage.other_operator().world, dead)
    assert actions[0] == "turn"
    assert "seal" not in actions
    assert stage.post(1, "acorn") == 1


def test_a_set_is_forced_to_the_one_vault_that_is_left_and_was_left_behind() -> None:
    """Its ship says that birch lacks WAL: accepted by name, acorn goes on, and birch is given all that is still to be had, and a snapshot."""
    stage = day_one("quorum")
    dead = frozenset({"cedar", "elm"})
    for vendor in dead:
        stage.state.lose(vendor)
    stage.state.watchers.clear()  # what the monitor looks for is what is given up here
    survey = observe(stage.world, stage.fleet, dead)
    seen = survey.sites["acorn"]
    assert not isinstance(seen.ship, Unknown)
    hole = {"from": "0/1000", "until": "0/2000", "since": 0.0}
    said = {**seen.ship, "vaults": {"birch": {"hole": hole}}}
    survey = replace(survey, sites={**survey.sites, "acorn": replace(seen, ship=said)})
    plan = plan_protect(stage.fleet, survey, declared=dead, force=True)
    names = frozenset(hazard.name for hazard in plan.hazards)
    with pytest.raises(Refused, match="no-copy-yet"):
        approve(stage.world, plan, Approval(plan.digest, names - {"no-copy-yet"}, "operator"))
    approve(stage.world, plan, Approval(plan.digest, names, "operator"))
    execute(stage.world, stage.fleet, plan)
    assert stage.post(1, "acorn") == 1
    done = [event.data["action"] for event in noted(stage, "step-done")][-len(plan.steps) :]
    assert done.index("turn") < done.index("fill") < done.index("protect")


def test_what_a_forced_set_lacks_of_pictures_its_host_ships_again() -> None:
    """Elm was left behind and those that had it are gone: protected is the site once elm has every picture, and another site finds them.

    Where elm takes none it is not called protected; the same plan goes on once it does.
    """
    stage = day_one()
    stage.state.pass_time(5.0)
    stage.state.vaults["elm"].pictures -= {"post1", "post2"}
    dead = frozenset({"birch", "cedar"})
    for vendor in dead:
        stage.state.lose(vendor)
    stage.state.watchers.clear()  # what the monitor looks for is what is given up here
    before, acorn = len(noted(stage, "protected-again")), stage.state.hosts["acorn"]
    acorn.slow = {"elm"}
    plan = plan_protect(stage.fleet, observe(stage.world, stage.fleet, dead), declared=dead, force=True)
    approve(stage.world, plan, Approval(plan.digest, frozenset(hazard.name for hazard in plan.hazards), "operator"))
    with pytest.raises(VaultError, match="2 pictures or keys that rows name are not in each of elm"):
        execute(stage.world, stage.fleet, plan)
    assert len(noted(stage, "protected-again")) == before
    acorn.slow.clear()
    execute(stage.world, stage.fleet, plan)
    assert len(noted(stage, "protected-again")) == before + 1
    assert {"post1", "post2"} <= stage.state.vaults["elm"].pictures


def test_what_one_vault_of_a_forced_set_has_the_others_are_given() -> None:
    """Elm lacks a picture that cedar alone has, and nobody said that it was left behind; what was taken down and erased stays gone."""
    fleet = fleet_with()
    stage = begun(replace(fleet, replication=replace(fleet.replication, s=3)))
    stage.state.pass_time(5.0)
    for held in stage.state.vaults.values():
        held.pictures -= {"post3"}
    stage.state.vaults["elm"].pictures -= {"post1"}
    stage.state.hosts["acorn"].pictures -= {"post1"}
    stage.state.lose("birch")
    stage.state.watchers.clear()
    assert "fill" not in force(stage, stage.world, frozenset({"birch"}))
    done = [event.data for event in noted(stage, "step-done") if event.data["action"] == "protect"]
    assert done[-1]["facts"]["brought"] == {"copied": 1, "shipped_again": 0}
    assert stage.state.vaults["elm"].pictures == stage.state.vaults["cedar"].pictures
    assert "post3" not in stage.state.vaults["elm"].pictures


def test_a_forced_failover_asks_the_new_host_for_no_more_than_it_was_given() -> None:
    """What it has came out of vaults: its second clock waits for none of that to go back."""
    stage = one_vault_and_no_primary()
    stage.break_next("plane.dover.named")
    stage.operator.failover("dover", force=True)
    assert stage.state.hosts["dover"].serving


def force(stage: Stage, world: World, dead: frozenset[str]) -> list[str]:
    """`protect --force`, everything accepted; the plan's actions."""
    plan = plan_protect(stage.fleet, observe(world, stage.fleet, dead), declared=dead, force=True)
    approve(world, plan, Approval(plan.digest, frozenset(hazard.name for hazard in plan.hazards), "operator"))
    execute(world, stage.fleet, plan)
    return [step.action for step in plan.steps]


def test_a_vault_that_missed_an_epoch_is_not_believed_without_a_word() -> None:
    """Elm was away while the set changed, and then it alone is left: it shows an older epoch than this machine knows."""
    stage = day_one("quorum")
    stage.state.lose("elm")
    stage.operator.protect(("elm",))
    stage.state.revive("elm")
    dead = frozenset({"birch", "cedar"})
    for vendor in dead:
        stage.state.lose(vendor)
    stage.state.watchers.clear()
    with pytest.raises(Refused, match="Epoch 2 was sealed"):
        force(stage, stage.world, dead)
    survey = observe(stage.world, stage.fleet, dead | {"acorn"})
    plan = plan_failover(stage.fleet, survey, to="birch", declared=frozenset({"acorn", "cedar"}), force=True)
    assert "missed-epoch" in [hazard.name for hazard in plan.hazards]


def test_no_way_leads_past_an_epoch_that_was_forced_into_one_vault() -> None:
    """What was acknowledged since the vaults came back is in that one alone: with it gone nobody is moved without a word."""
    stage = day_one("quorum")
    dead = frozenset({"birch", "cedar"})
    for vendor in dead:
        stage.state.lose(vendor)
    stage.state.watchers.clear()
    force(stage, stage.world, dead)
    assert stage.post(10, "acorn") == 10
    for vendor in dead:
        stage.state.revive(vendor)
    stage.state.lose("elm")
    with pytest.raises(TooFewVaults, match="newest epoch"):
        stage.operator.vaults("elm")
    with pytest.raises(Refused, match="can't go on by the vaults"):
        stage.operator.protect(("elm",))
    stage.state.lose("acorn")
    survey, lost = survey_after_loss(stage.world, stage.fleet, frozenset({"elm"}))
    with pytest.raises(TooFewVaults, match="newest epoch") as refused:
        plan_failover(stage.fleet, survey, declared=lost)
    assert "Epoch 2 was sealed" in refused.value.why
    plan = plan_failover(stage.fleet, survey, declared=lost, force=True)
    assert plan.forced
    assert {"split-brain", "missed-epoch", "loses-writes"} <= {hazard.name for hazard in plan.hazards}
    execute(stage.world, stage.fleet, plan)
    assert stage.post(1, "birch") == 1


def test_up_of_a_site_whose_first_epoch_no_vault_has_any_more() -> None:
    """Vaults were exchanged one by one since, and the old ones left the file: the host was told of the epoch, and that counts."""
    stage = day_one()
    stage.operator.vaults("elm")
    for held in stage.state.vaults.values():
        held.objects.pop(layout.epoch(1), None)
    with pytest.raises(TooFewVaults, match="what was taken down"):  # which is another matter, and can be accepted
        stage.operator.up("acorn")
    assert "recognize" in {event.data["action"] for event in stage.state.events if event.kind == "step-done"}
