"""`up` of the site that serves: it closes it to nobody, and opens it to nobody whom a person keeps out."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from resilience import cli
from resilience.errors import TooFewVaults, VaultError
from resilience.model import Stage as Gate
from resilience.ports import Vault
from resilience.replication import epoch as epochs
from tests.sim.stage import Stage, attempt, day_one
from tests.sim.test_cases import begins, interrupted
from tests.sim.typed import typing_at


def stages_seen(stage: Stage, site: str = "acorn") -> set[Gate]:
    """Every stage that the site's gate is at from here on."""
    seen = set[Gate]()
    stage.state.watchers.append(lambda _door: seen.add(stage.state.hosts[site].stage))
    return seen


def test_up_after_the_vault_set_changed_closes_the_site_to_nobody() -> None:
    """Its host writes on under the new epoch, and its gate stays as far open as it was."""
    stage = day_one()
    stage.operator.vaults("elm")
    seen = stages_seen(stage)
    stage.operator.up("acorn")
    assert seen == {Gate.SIGN_UPS}


def test_up_that_stops_leaves_the_site_as_far_open_as_it_was() -> None:
    """What it looks at is not as it should be: users go on meanwhile."""
    stage = day_one()
    stage.operator.vaults("elm")
    stage.break_next("outside.journey")
    assert attempt(partial(stage.operator.up, "acorn"))
    assert stage.post(1) == 1


def test_a_gate_that_was_never_told_of_a_turn_is_known_by_the_epochs_before() -> None:
    """The change of the set stopped right before, or an older build made it."""
    stage = day_one()
    began = stage.state.hosts["acorn"].opened_under
    stage.operator.vaults("elm")
    stage.state.hosts["acorn"].opened_under = began
    seen = stages_seen(stage)
    stage.operator.up("acorn")
    assert seen == {Gate.SIGN_UPS}


def test_a_gate_is_told_of_each_turn() -> None:
    """Vaults are exchanged one by one, and later none may have the epochs before any more."""
    stage = day_one()
    for without in (("elm",), ()):
        stage.operator.vaults(*without)
        newest = stage.monitor.newest()
        assert newest is not None
        assert stage.state.hosts["acorn"].opened_under == newest.nonce


@pytest.mark.parametrize("held", [Gate.CLOSED, Gate.READ_ONLY, Gate.WRITES])
def test_a_site_that_a_person_holds_stays_there(held: Gate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`up` brings all else into order, and says how far the site is open."""
    stage = day_one()
    stage.operator.open("acorn", held)
    seen = stages_seen(stage)
    typing_at(stage, stage.world, monkeypatch, tmp_path)
    said = CliRunner().invoke(cli.app, ["up", "acorn"])
    assert said.exception is None, said.exception
    assert seen == {held}
    assert "`resilience open sign-ups`" in " ".join(said.output.split())


def test_a_gate_of_another_time_closes() -> None:
    """What was opened under an epoch that is not gone on with says nothing of the database that is there now."""
    stage = day_one()
    acorn = stage.state.hosts["acorn"]
    acorn.opened_under = "another"
    stage.operator.up("acorn")
    assert acorn.stage == Gate.CLOSED


@pytest.mark.parametrize("action", ["start", "verify"])
def test_up_finishes_nobodys_failover(action: str) -> None:
    """The copy is there and nobody looked at it yet: it stays closed, and no name leads there."""
    stage = day_one()
    stage.state.lose("acorn")
    with pytest.raises(KeyboardInterrupt):
        stage.operator.asleep(partial(begins, action), interrupted).failover()
    attempt(partial(stage.operator.up, "birch", frozenset({"acorn"})))
    assert stage.state.hosts["birch"].stage == Gate.CLOSED
    assert stage.state.zones["dover"] != stage.state.outputs["birch"].addresses


@pytest.fixture
def half_sealed(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Elm comes into the set again, and its epoch got into elm alone: until `undo` the others take none."""
    stage, into = day_one(), epochs.seal_one
    stage.operator.vaults("elm")

    def alone(vault: Vault, *args: Any) -> bool:
        if vault.name != "elm":
            raise VaultError(f"{vault.name} does not take it", "It hangs.", "Run this again.")
        return into(vault, *args)

    monkeypatch.setattr(epochs, "seal_one", alone)
    with pytest.raises(TooFewVaults):
        stage.operator.vaults()
    newest = epochs.newest_of(stage.world.vaults, stage.world.signer.verify)
    assert newest is not None
    assert newest.number == 3
    return stage


@pytest.mark.parametrize("again", ["up", "vaults"])
def test_a_host_is_told_of_no_epoch_that_may_go_with_one_vault(half_sealed: Stage, again: str) -> None:
    """The one that has it is lost: the host goes on as it was."""
    stage = half_sealed
    assert attempt(partial(stage.operator.up, "acorn") if again == "up" else stage.operator.vaults)
    told = stage.state.hosts["acorn"].told
    assert told is not None
    assert told.number == 2
    stage.state.lose("elm")
    stage.operator.up("acorn")
    assert stage.post(1) == 1


def test_a_host_that_was_told_of_it_all_the_same_hinders_no_seal(
    half_sealed: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an older build: the change is finished as ever."""
    stage = half_sealed
    stage.state.hosts["acorn"].told = epochs.newest_of(stage.world.vaults, stage.world.signer.verify)
    monkeypatch.undo()
    stage.operator.vaults()
    newest = stage.monitor.newest()
    assert newest is not None
    assert newest.number == 3
    assert stage.post(1) == 1


def test_a_host_that_follows_is_told_of_no_such_epoch_either(half_sealed: Stage) -> None:
    """It follows by the set that there is, and again once the one vault is lost."""
    stage = half_sealed
    stage.fleet = replace(stage.fleet, sites=tuple(replace(site, standby="hot") for site in stage.fleet.sites))
    for _ in range(2):
        stage.operator.up("birch")
        assert stage.state.hosts["birch"].followed == 2
        stage.state.lose("elm")
