"""A stack's state is in the vaults before anything depends on its hosts."""

from __future__ import annotations

import pytest

from resilience.engine.stack_state import destroy, note_known
from resilience.errors import Refused
from resilience.replication import states
from tests.sim.stage import attempt, day_one


def test_an_interrupted_failover_left_the_state_behind() -> None:
    """Killed right after the host was made: another machine finds its state where it finds everything else."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.break_next("plane.birch.shape", how="killed")
    assert "killed" in str(attempt(stage.operator.failover))
    for vault in ("birch", "cedar", "elm"):
        assert any(key.startswith("state/birch/") for key in stage.state.vaults[vault].objects), vault


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
