"""A stack's state is in the vaults before anything depends on its hosts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from resilience.engine.stack_state import destroy, note_known, take_over
from resilience.errors import Refused
from resilience.model import SiteOutputs
from resilience.replication import states
from resilience.simulation.vendors import SimCloud
from tests.sim.plans import relented, stood_by, undone
from tests.sim.stage import Operator, Stage, attempt, day_one


def test_an_interrupted_failover_left_the_state_behind() -> None:
    """Killed right after the host was made: another machine finds its state where it finds everything else."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.break_next("plane.birch.shape", how="killed")
    assert "killed" in str(attempt(stage.operator.failover))
    for vault in ("birch", "cedar", "elm"):
        assert any(key.startswith("state/birch/") for key in stage.state.vaults[vault].objects), vault


def to_a_standby(operator: Operator) -> None:
    """Acorn is lost, and birch follows."""
    operator.stage.state.lose("acorn")
    operator.failover("birch")


@pytest.mark.parametrize(
    ("begin", "command"),
    [
        (stood_by, to_a_standby),
        (relented, partial(Operator.failover, to="acorn", lost=("birch",))),
        (undone, partial(Operator.restore, of=1)),
        (stood_by, partial(Operator.up, site="birch")),
    ],
)
def test_another_machine_takes_over_hosts_that_are_there(
    begin: Callable[[], Stage], command: Callable[[Operator], None]
) -> None:
    """Whatever it is told to do with a site: no second host is made beside the one whose state the vaults hold."""
    stage = begin()
    hosts = dict(stage.state.hosts)
    command(stage.other_operator())
    assert {name: stage.state.hosts[name] is host for name, host in hosts.items()} == dict.fromkeys(hosts, True)
    assert stage.post(1) == 1


def test_a_planned_move_from_another_machine_says_what_to_type_first() -> None:
    """It asks the old site itself: that one's state is brought by a person, the new one's comes with the move."""
    stage = relented()
    hosts, other = dict(stage.state.hosts), stage.other_operator()
    with pytest.raises(Refused, match=r"knows nothing of birch's hosts \(`resilience stack restore birch`"):
        other.switchover(to="acorn")
    other.world.clouds["birch"].adopt(stage.fleet.site("birch"), b"birch")
    other.switchover(to="acorn")
    assert stage.state.hosts["acorn"] is hosts["acorn"]
    assert stage.post(1) == 1


def test_what_this_machine_forgot_is_not_taken_over_again() -> None:
    """Whose hosts it knew and let go (`stack forget`), it makes anew: `stack restore` would bring them back."""
    stage = day_one()
    stage.operator.up("birch")
    first, cloud = stage.state.hosts["birch"], stage.world.clouds["birch"]
    assert isinstance(cloud, SimCloud)
    cloud.elsewhere.add("birch")
    stage.state.lose("acorn")
    stage.operator.failover("birch")
    assert stage.state.hosts["birch"] is not first
    assert stage.post(1) == 1


def test_a_machine_that_another_overtook_destroys_nothing() -> None:
    """Its emptied state would hide the hosts that the other made; once it has taken the newer state over it may."""
    stage = day_one()
    stage.operator.up("birch")
    stage.state.pass_time(1.0)
    birch, other = stage.fleet.site("birch"), stage.other_operator()
    other.up("birch")
    with pytest.raises(Refused, match="not the newest"):
        destroy(stage.world, stage.fleet.name, birch)
    assert "birch" in stage.state.outputs
    kept = states.newest(stage.world.vaults, states.Stack(stage.fleet.name, "birch"), stage.world.signer.verify)
    note_known(stage.world, "birch", kept.key)
    destroy(stage.world, stage.fleet.name, birch)
    assert "birch" not in stage.state.outputs


def remade(site: str = "birch", began: Callable[[], Stage] = day_one) -> Stage:
    """A machine made a site's host; another took it over and made it anew, at another address."""
    stage = began()
    stage.operator.up(site)
    stage.state.pass_time(1.0)
    stage.other_operator().up(site)
    stage.state.pass_time(1.0)
    overtaken(stage, site)
    return stage


def overtaken(stage: Stage, site: str) -> None:
    """What this machine has of the site is what was before."""
    cloud = stage.world.clouds[site]
    assert isinstance(cloud, SimCloud)
    cloud.older[site] = SiteOutputs(site, site, ("198.18.9.99",), ("key",))


def kept_of(stage: Stage, site: str) -> states.Kept:
    """The newest state that the vaults have."""
    return states.newest(stage.world.vaults, states.Stack(stage.fleet.name, site), stage.world.signer.verify)


@pytest.mark.parametrize(
    ("begin", "command"),
    [
        (day_one, to_a_standby),
        (day_one, partial(Operator.switchover, to="birch")),
        (day_one, partial(Operator.restore, of=1, to="birch")),
        (stood_by, to_a_standby),
        (stood_by, partial(Operator.up, site="birch")),
    ],
)
def test_a_machine_that_another_overtook_goes_on_with_the_newer_state(
    begin: Callable[[], Stage], command: Callable[[Operator], None]
) -> None:
    """By itself, before it asks anything of the site: its own names a host that is gone, and never becomes the newest."""
    stage = remade(began=begin)
    host, birch, cloud = stage.state.hosts["birch"], stage.fleet.site("birch"), stage.world.clouds["birch"]
    command(stage.operator)
    assert cloud.outputs(birch) == stage.state.outputs["birch"]
    assert stage.state.hosts["birch"] is host
    assert stage.post(1) == 1
    known = [e.data["key"] for e in stage.world.log.read() if e.kind == "state-known" and e.data["site"] == "birch"]
    assert kept_of(stage, "birch").key == known[-1]


def test_the_state_that_a_plan_keeps_at_its_end_is_the_newest_too() -> None:
    """Nothing was made by this plan: what another machine put since is taken over, and no older one put over it."""
    stage = day_one()
    other = stage.other_operator()
    other.up("acorn")
    newer = kept_of(stage, "acorn").key
    adopted = stage.state.doors.calls["cloud.acorn.adopt"]
    stage.state.pass_time(1.0)
    stage.operator.protect()
    assert stage.state.doors.calls["cloud.acorn.adopt"] == adopted + 1
    assert newer in [e.data["key"] for e in stage.world.log.read() if e.kind == "state-known"]


def test_a_failover_goes_on_where_no_vault_tells_of_a_newer_state() -> None:
    """Who holds it is silent: this machine's own is the best there is."""
    stage = day_one()
    stage.operator.up("birch")
    stage.state.pass_time(1.0)
    own = kept_of(stage, "birch").key
    stage.other_operator().up("birch")
    for vault in stage.state.vaults.values():
        for newer in [key for key in vault.objects if key.startswith("state/birch/") and key > own]:
            del vault.objects[newer]
    to_a_standby(stage.operator)
    assert stage.state.doors.calls["cloud.birch.adopt"] == 1
    assert stage.post(1) == 1


def test_an_older_state_is_not_taken_for_a_newer_one() -> None:
    """Where vaults hold back what this machine put last, what another put before that is no reason to go back."""
    stage = day_one()
    stage.other_operator().up("birch")
    older = kept_of(stage, "birch").key
    stage.state.pass_time(1.0)
    note_known(stage.world, "birch", f"state/birch/{round(stage.world.clock.now() * 1000)}.json")
    adopted = stage.state.doors.calls["cloud.birch.adopt"]
    stage.operator.up("birch")
    assert older not in [e.data["key"] for e in stage.world.log.read() if e.kind == "state-known"]
    assert stage.state.doors.calls["cloud.birch.adopt"] == adopted


def test_stack_restore_takes_a_newer_state_over_and_no_other() -> None:
    """What `down` is refused for: one command mends it, and where nothing newer is there nothing is written over."""
    stage = remade()
    birch = stage.fleet.site("birch")
    take_over(stage.world, stage.fleet.name, birch)
    assert stage.world.clouds["birch"].outputs(birch) == stage.state.outputs["birch"]
    with pytest.raises(Refused, match="already"):
        take_over(stage.world, stage.fleet.name, birch)
    destroy(stage.world, stage.fleet.name, birch)
