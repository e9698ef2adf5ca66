"""A stack's state is in the vaults before anything depends on its hosts."""

from __future__ import annotations

from tests.sim.stage import attempt, day_one


def test_an_interrupted_failover_left_the_state_behind() -> None:
    """Killed right after the host was made: another machine finds its state where it finds everything else."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.break_next("plane.birch.shape", how="killed")
    assert "killed" in str(attempt(stage.operator.failover))
    for vault in ("birch", "cedar", "elm"):
        assert any(key.startswith("state/birch/") for key in stage.state.vaults[vault].objects), vault
