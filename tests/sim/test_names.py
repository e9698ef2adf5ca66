"""Names: TTLs are low beforehand, and where DNS vendors are gone the registrar's part is said and checked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resilience.adapters.threads import side_by_side
from resilience.decide import plan_failover
from resilience.decide.names import registered as registered_as
from resilience.decide.names import wanted
from resilience.engine.drill import Drill
from resilience.engine.observe import survey_after_loss
from resilience.errors import Refused, ResilienceError
from resilience.judge import judge
from resilience.model import Fleet, Registration, Survey
from resilience.simulation import simulated_fleet, simulated_world
from tests.sim.drills import as_if_real, run
from tests.sim.stage import Operator, Stage, attempt, begun, day_one, fleet_with

SERVERS = {"acorn": ("ns1.acorn.test",), "dover": ("ns1.dover.test", "ns2.dover.test")}


def registered() -> Stage:
    """A fleet with a declared registrar, delegated to both of its DNS vendors, whose primary is lost."""
    stage = day_one()
    zones = tuple(replace(zone, nameservers=SERVERS[zone.vendor]) for zone in stage.fleet.names.zones)
    stage.fleet = replace(stage.fleet, names=replace(stage.fleet.names, zones=zones, registrar="gandi"))
    stage.state.delegated = (*SERVERS["acorn"], *SERVERS["dover"])
    stage.state.lose("acorn")
    return stage


def test_a_ttl_that_is_too_long_is_a_hazard_until_up_lowers_it() -> None:
    """Users would be sent to the old site for as long as resolvers keep its address."""
    stage = day_one()
    stage.state.ttls["dover"] = 3600
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    names = {h.name: h.why for h in plan_failover(stage.fleet, survey, declared=dead).hazards}
    assert "dover serves 3600 s" in names["slow-name"]
    stage.operator.up("acorn")
    assert stage.state.ttls["dover"] == stage.fleet.names.ttl_s
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    assert "slow-name" not in {h.name for h in plan_failover(stage.fleet, survey, declared=dead).hazards}


def test_a_dead_vendor_s_name_server_does_not_keep_a_site_down() -> None:
    """After a failover `up` of the new site, as after a power cut, ends well where the vendor is declared lost."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.operator.failover()
    with pytest.raises(ResilienceError, match="acorn"):
        stage.operator.up("birch")
    with stage.monitor.nobody_calls(frozenset({"acorn"})):
        stage.operator.up("birch", lost=frozenset({"acorn"}))
    assert stage.post(1) == 1


def test_up_without_a_lost_vendor_calls_none_of_its_vaults() -> None:
    """The present site comes up without the vaults that are lost, and not where those left can't tell whether it may."""
    stage = day_one()
    stage.state.lose("elm")
    stage.operator.up("acorn", lost=frozenset({"elm"}))
    assert stage.post(1) == 1
    for refused in ({"birch", "elm"}, {"acorn", "elm"}):
        with pytest.raises(ResilienceError, match=r"needed to seal|lost vendor"):
            stage.operator.up("acorn", lost=frozenset(refused))


def test_one_name_server_that_is_left_is_enough() -> None:
    """The failover ends well, and says which dead vendor's name server is still in the delegation."""
    stage = registered()
    stage.operator.failover()
    done = next(e for e in stage.world.log.read() if e.kind == "step-done" and e.data["action"] == "delegate")
    assert done.data["facts"]["still"] == ["ns1.acorn.test"]
    assert stage.post(1) == 1


def test_with_none_left_it_says_what_to_change_where_and_checks_it() -> None:
    """Only the dead vendor is in the delegation: the command stops with the words for the registrar, then goes on."""
    stage = registered()
    stage.state.delegated = SERVERS["acorn"]
    with pytest.raises(ResilienceError) as stopped:
        stage.operator.failover()
    assert stopped.value.next.startswith("At gandi: take out ns1.acorn.test, and enter ns1.dover.test, ns2.dover.test.")
    assert stage.state.hosts["birch"].serving
    stage.state.delegated = SERVERS["dover"]
    stage.operator.failover()
    assert stage.post(1) == 1


def test_a_parent_that_does_not_answer_stops_nobody() -> None:
    """Whether users get through is found by name anyway."""
    stage = registered()
    stage.break_next("outside.nameservers")
    stage.operator.failover()
    assert stage.post(1) == 1


def test_without_a_registrar_nothing_is_asked() -> None:
    """A fleet that declares none has no such step."""
    stage = day_one()
    stage.state.lose("acorn")
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    assert "delegate" not in [s.action for s in plan_failover(stage.fleet, survey, declared=dead).steps]


def test_with_every_dns_vendor_gone_it_ends_well_and_says_what_a_person_does() -> None:
    """The site serves by its address, protected; once a zone elsewhere is declared, `protect` leads users there."""
    stage = registered()
    stage.state.lose("dover")
    stage.operator.failover(lost=("dover",))
    said = next(e.data for e in stage.world.log.read() if e.kind == "name-stays")
    assert said["address"] == stage.state.outputs["birch"].addresses[0]
    assert "At gandi take out ns1.acorn.test, ns1.dover.test, ns2.dover.test" in said["change"]
    assert stage.world.log.read()[-1].kind == "finished"
    assert any(e.kind == "protected-again" for e in stage.world.log.read())
    assert stage.post(1, "birch") == 1
    assert stage.post(1) == 0
    fresh = replace(stage.fleet.names.zones[0], vendor="elm", nameservers=("ns1.elm.test",))
    stage.fleet = replace(stage.fleet, names=replace(stage.fleet.names, zones=(*stage.fleet.names.zones, fresh)))
    world = replace(simulated_world(stage.state, stage.fleet), log=stage.world.log)
    stage.monitor.fleet = stage.fleet
    stage.state.delegated = ("ns1.elm.test",)
    Operator(stage, world).protect(("acorn", "dover"))
    assert stage.post(1) == 1


def test_a_drill_that_loses_every_dns_vendor_is_missed_and_says_why() -> None:
    """Nobody gets back by name, which is a proven miss, with the words for the registrar; the copies are protected."""
    verdict = judge(as_if_real(run(Drill(fault="correlated", lost=("acorn", "dover"), simulated=True))))
    assert verdict.verdict == "missed"
    assert "no DNS vendor is left to lead users there" in verdict.why[0]
    assert "At the registrar take out" in verdict.why[0]
    assert verdict.reprotected_s is not None
    assert verdict.blackhole.calls == 0


def with_a_spare(fleet: Fleet) -> Fleet:
    """The zone is kept at birch, too, and nobody is led there."""
    zones = tuple(replace(zone, nameservers=SERVERS[zone.vendor]) for zone in fleet.names.zones)
    spare = replace(zones[0], vendor="birch", nameservers=("ns1.birch.test",), spare=True)
    return replace(fleet, names=replace(fleet.names, zones=(*zones, spare), registrar="gandi"))


def test_a_spare_zone_waits_for_the_registrar_alone() -> None:
    """Whoever approves the plan reads what to enter where, and does it meanwhile: users are back by name in time."""
    events = as_if_real(
        run(Drill(fault="correlated", lost=("acorn", "dover"), simulated=True), with_a_spare(simulated_fleet()))
    )
    assert "name-waits" in next(e.data for e in reversed(events) if e.kind == "decided")["accepted"]
    assert next(e.data["servers"] for e in events if e.kind == "delegated") == ["ns1.birch.test"]
    verdict = judge(events)
    assert (verdict.verdict, verdict.why) == ("met", ())
    assert verdict.blackhole.calls == 0


def test_with_only_a_spare_zone_left_it_stops_until_the_registrar_knows() -> None:
    """Nobody entered it yet: all else is done, it says what to enter where, and the same command goes on afterwards."""
    stage = day_one()
    stage.fleet = with_a_spare(stage.fleet)
    stage.operator = Operator(stage, replace(simulated_world(stage.state, stage.fleet), log=stage.world.log))
    stage.state.delegated = (*SERVERS["acorn"], *SERVERS["dover"])
    for vendor in ("acorn", "dover"):
        stage.state.lose(vendor)
    with pytest.raises(ResilienceError) as stopped:
        stage.operator.failover(lost=("dover",))
    assert stopped.value.next.startswith(
        "At gandi: take out ns1.acorn.test, ns1.dover.test, ns2.dover.test, and enter ns1.birch"
    )
    assert stage.post(1, "birch") == 1
    stage.state.delegated = ("ns1.birch.test",)
    stage.operator.failover()
    assert stage.post(1) == 1


def test_a_spare_zone_is_no_part_of_the_others_name_servers() -> None:
    """Each zone names the servers that users are led to, and the spare one its own; the registry is held to the former."""
    names = with_a_spare(simulated_fleet()).names
    apex = {vendor: wanted(names, vendor)[0].values for vendor in ("acorn", "dover", "birch")}
    assert apex["acorn"] == apex["dover"] == ("ns1.acorn.test.", "ns1.dover.test.", "ns2.dover.test.")
    assert apex["birch"] == ("ns1.birch.test.",)
    seen = Registration("plaza.test", ("ok",), None, (*SERVERS["acorn"], *SERVERS["dover"]))
    told = registered_as(replace(simulated_fleet(), names=names), Survey(0.0, registration=seen))
    assert not [finding for finding in told if "delegated" in finding.said]


def served_at_three() -> Stage:
    """A third vendor serves the name, too; a real operator's steps run side by side."""
    fleet = fleet_with()
    elm = replace(fleet.names.zones[1], vendor="elm", nameservers=("ns1.elm.test",))
    stage = begun(replace(fleet, names=replace(fleet.names, zones=(*fleet.names.zones, elm))))
    stage.operator = Operator(stage, replace(stage.world, together=side_by_side))
    return stage


def done_since(stage: Stage, begun_at: int) -> dict[str, str]:
    """How each step ended that was carried out since."""
    ended = {"step-done", "step-failed"}
    return {e.data["id"]: e.kind for e in stage.world.log.read()[begun_at:] if e.kind in ended}


def test_a_dns_vendor_that_dies_meanwhile_keeps_the_name_from_moving_at_no_other() -> None:
    """The others lead users to the new site, which is protected; it stops at the dead one, and says what to do without it."""
    stage = served_at_three()
    stage.state.lose("acorn")
    stage.break_next("zone.dover.point", how="closed")
    lines = len(stage.world.log.read())
    with pytest.raises(ResilienceError, match="dover answers as for a closed account") as stopped:
        stage.operator.failover()
    assert stopped.value.next == "If dover is gone: `resilience protect --lost acorn --lost dover`."
    ended = done_since(stage, lines)
    assert [step for step, how in ended.items() if how == "step-failed"] == ["name.point.dover"]
    assert {ended[f"{step}.birch"] for step in ("name.confirm", "protect.protect")} == {"step-done"}
    assert stage.state.zones["elm"] == stage.state.outputs["birch"].addresses
    assert "finished" not in {event.kind for event in stage.world.log.read()[lines:]}
    stage.state.lose("dover")
    assert "dover" in str(attempt(stage.operator.failover))
    stage.operator.protect(lost=("acorn", "dover"))
    assert stage.world.log.read()[-1].kind == "finished"
    stage.state.pass_time(120.0)
    assert stage.post(1) == 1


def test_a_switchover_and_up_move_the_name_where_they_can() -> None:
    """A zone that fails is told, and the one behind it is pointed all the same."""
    stage = served_at_three()
    stage.break_next("zone.acorn.point")
    with pytest.raises(ResilienceError, match=r"zone\.acorn\.point") as stopped:
        stage.operator.switchover("birch")
    assert stopped.value.next.endswith("If acorn is gone: `resilience protect --lost acorn`.")
    assert stage.state.zones["dover"] == stage.state.zones["elm"] == stage.state.outputs["birch"].addresses
    stage.operator.switchover()
    del stage.state.zones["elm"]
    stage.break_next("zone.dover.point")
    with pytest.raises(ResilienceError, match=r"zone\.dover\.point"):
        stage.operator.up("birch")
    assert stage.state.zones["elm"] == stage.state.outputs["birch"].addresses


def test_a_zone_at_the_sites_own_vendor_leaves_no_way_but_another_site() -> None:
    """Where that vendor is gone, so is the site: `protect` would refuse it."""
    fleet = fleet_with()
    birch = replace(fleet.names.zones[1], vendor="birch")
    stage = begun(replace(fleet, names=replace(fleet.names, zones=(*fleet.names.zones, birch))))
    stage.state.lose("acorn")
    stage.break_next("zone.birch.point", how="closed")
    with pytest.raises(ResilienceError) as stopped:
        stage.operator.failover()
    assert stopped.value.next == "If birch is gone: `resilience plan --lost acorn --lost birch`."


@pytest.mark.parametrize("gone", ["zone dover", "vault cedar", "site birch"])
def test_what_was_taken_out_of_the_fleet_file_meanwhile_is_refused_by_its_name(gone: str) -> None:
    """An interrupted plan that needs it goes no further, and says why and what to do."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.break_next("zone.dover.point")
    assert attempt(stage.operator.failover)
    kind, name = gone.split()
    fleet = stage.fleet
    less = {
        "zone": replace(fleet, names=replace(fleet.names, zones=fleet.names.zones[:1])),
        "vault": replace(fleet, vaults=tuple(vault for vault in fleet.vaults if vault.name != name)),
        "site": replace(fleet, sites=tuple(site for site in fleet.sites if site.name != name)),
    }
    stage.fleet = less[kind]
    with pytest.raises(Refused, match=f"needs the {gone}, and the fleet file declares none"):
        stage.operator.failover()
