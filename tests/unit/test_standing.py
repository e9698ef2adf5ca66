"""Hazards of the copies that are there every day: by name, known or not."""

from __future__ import annotations

from dataclasses import replace

from resilience.adapters.memory_vault import MemoryVault
from resilience.config.prices import load_prices
from resilience.decide.preflight import observed
from resilience.decide.standing import standing
from resilience.engine.observe import observe
from resilience.engine.probe import note, probe
from resilience.engine.revert import revert
from resilience.model import Fleet
from resilience.model.finding import Seen
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
    assert set(told) == {"vault-destroyable", "primary-reads-snapshots", "kit-destroys-copies"}
    assert "elm" in told["primary-reads-snapshots"]
    assert "snapshots" not in told["vault-destroyable"]
    assert "elm" in told["vault-destroyable"]
    assert "ship-may-not-delete" in told["vault-destroyable"]


def locked(stage: Stage, **days: int) -> dict[str, list[str]]:
    """Hazards of the fleet in which these vaults are locked for so long."""
    more = replace(stage.fleet.vault("elm"), name="oak", bucket="oak")
    vaults = tuple(replace(spec, lock_days=days.get(spec.name, 0)) for spec in (*stage.fleet.vaults, more))
    found: dict[str, list[str]] = {}
    for hazard in standing(replace(stage.fleet, vaults=vaults), observe(stage.world, stage.fleet)):
        found.setdefault(hazard.name, []).append(hazard.why)
    return found


def test_a_lock_keeps_thieves_out_and_deleted_things_in() -> None:
    """What a locked vault keeps of what people delete is told, by what it keeps of pictures; and who could take their keys."""
    stage = Stage(simulated_fleet())
    told = locked(stage, elm=30)
    assert set(told) == {"vault-untried", "locked-copies", "kit-destroys-copies"}
    assert "of pictures it keeps payloads alone" in told["locked-copies"][0]
    assert "headers of all pictures in birch, cedar, oak" in told["kit-destroys-copies"][0]
    assert "kit-destroys-copies" not in locked(stage, elm=30, cedar=7)
    assert "pictures go by `resilience erase`" in locked(stage, birch=7)["locked-copies"][0]
    most = locked(stage, **{spec.name: 30 for spec in stage.fleet.vaults})
    assert all("pictures too" in why and "fewer than 2 others" in why for why in most["locked-copies"])
    assert "kit-destroys-copies" not in most
    (google,) = locked(stage, elm=30, birch=7)["kit-destroys-copies"]
    assert "headers of all pictures in birch, cedar, oak" in google
    assert "what Google keeps in birch" in google
    assert "serving at birch, cedar, fewer than 2" in locked(stage, elm=30, oak=30)["locked-copies"][0]


def test_what_google_keeps_after_it_was_deleted_is_no_lock() -> None:
    """Whoever has the account's key ends it with a word, and then deletes for good: with no lock elsewhere the kit destroys all."""
    told = locked(Stage(simulated_fleet()), birch=30)
    assert "every version of everything in birch, cedar, elm, oak" in told["kit-destroys-copies"][0]
    assert "what Google keeps in birch" in told["kit-destroys-copies"][0]
    assert "locked-copies" in told, "it keeps what people delete all the same"


def test_a_host_that_does_not_know_of_a_lock_is_told() -> None:
    """What ship says it does goes before what the file says it should: `status` and `check` name the host and what to type."""
    stage = Stage(simulated_fleet())
    stage.operator.up("acorn")
    fleet = replace(stage.fleet, vaults=tuple(replace(v, lock_days=30 * (v.name == "elm")) for v in stage.fleet.vaults))
    seen = observe(stage.world, fleet)

    def told(**apart: bool) -> set[str]:
        ship = {"vaults": {name: {"apart": apart.get(name, False)} for name in ("birch", "cedar", "elm")}}
        survey = replace(seen, sites={**seen.sites, "acorn": replace(seen.sites["acorn"], ship=ship)})
        checked = {f.said for f in observed(fleet, survey, Seen(), load_prices()) if f.next == "resilience up acorn"}
        status = {hazard.why for hazard in standing(fleet, survey) if "resilience up acorn" in hazard.why}
        assert status == {f"{said.removeprefix('locked-copies: ')} resilience up acorn" for said in checked}
        return status

    assert told(elm=True) == set()
    assert any("acorn still puts whole pictures into elm" in why for why in told())
    assert any("acorn still puts payloads alone into birch" in why for why in told(elm=True, birch=True))


def test_a_vault_without_versions_has_nothing_to_go_back_to() -> None:
    """That is said, and nothing is touched."""
    vault = MemoryVault("birch")
    vault.put_new("media/1", b"x")
    found = revert(vault, really=True)
    assert (found["keeps_versions"], found["written_over"], vault.get("media/1")) == (False, 0, b"x")
