"""A stack's state is in the vaults before anything depends on its hosts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from resilience.engine.stack_state import destroy, note_known
from resilience.errors import Refused
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
