"""Hazards of the copies that are there every day: by name, known or not."""

from __future__ import annotations

from dataclasses import replace

from resilience.adapters.memory_vault import MemoryVault
from resilience.decide.standing import standing
from resilience.engine.observe import observe
from resilience.engine.probe import note, probe
from resilience.engine.revert import revert
from resilience.model import Fleet
from resilience.simulation import simulated_fleet
from tests.sim.stage import Stage


def names(stage: Stage, fleet: Fleet | None = None) -> list[str]:
    """What `status` would name."""
    return [hazard.name for hazard in standing(fleet or stage.fleet, observe(stage.world, stage.fleet))]


def test_a_vault_that_nobody_tried_is_no_safe_one() -> None:
    """Untried vaults are named; one that lets ship delete is told with what was seen; one that refuses is not."""
    stage = Stage(simulated_fleet())
    assert names(stage) == ["vault-untried", "kit-destroys-copies"]
    for spec in stage.fleet.vaults:
        note(stage.world.log, 1.0, probe(spec.name, {"operator": MemoryVault(spec.name)}))
    assert names(stage) == ["kit-destroys-copies"]
    careless = MemoryVault("elm")
    note(stage.world.log, 2.0, probe("elm", {"operator": careless, "ship": careless, "reader": careless}))
    told = {h.name: h.why for h in standing(stage.fleet, observe(stage.world, stage.fleet))}
    assert set(told) == {"vault-destroyable", "kit-destroys-copies"}
    assert "elm" in told["vault-destroyable"]
    assert "ship-may-not-delete" in told["vault-destroyable"]


def test_a_lock_keeps_thieves_out_and_deleted_things_in() -> None:
    """With a lock nobody destroys everything, and what people delete stays there: each is said."""
    stage = Stage(simulated_fleet())
    locked = tuple(replace(spec, lock_days=30 if spec.name == "elm" else 0) for spec in stage.fleet.vaults)
    assert names(stage, replace(stage.fleet, vaults=locked)) == ["vault-untried", "locked-copies"]


def test_a_vault_without_versions_has_nothing_to_go_back_to() -> None:
    """That is said, and nothing is touched."""
    vault = MemoryVault("birch")
    vault.put_new("media/1", b"x")
    found = revert(vault, really=True)
    assert (found["keeps_versions"], found["written_over"], vault.get("media/1")) == (False, 0, b"x")
