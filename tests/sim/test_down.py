"""`down` in the in-memory World: it destroys no site that may write, whatever a vault says that missed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from resilience import cli
from resilience.errors import Refused, TooFewVaults
from tests.sim.plans import one_vault_and_no_primary
from tests.sim.stage import Operator, Stage, day_one
from tests.sim.typed import typing_at

Typing = Callable[..., Result]


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Typing:
    """Type it at somebody's machine."""

    def typed(operator: Operator, *words: str) -> Result:
        typing_at(operator.stage, operator.world, monkeypatch, tmp_path)
        return CliRunner().invoke(cli.app, ("down", *words))

    return typed


def missed_it() -> Stage:
    """Epoch 2 lets birch write, and elm, which was gone meanwhile, is the only vault that answers."""
    stage = day_one()
    stage.state.lose("acorn")
    stage.state.lose("elm")
    stage.operator.failover("birch")
    stage.state.revive("elm")
    newest = stage.monitor.newest()
    assert newest is not None
    assert newest.site == "birch"
    for vault in ("birch", "cedar"):
        stage.break_next(f"vault.{vault}.list")
        stage.break_next(f"vault.{vault}.get")
    return stage


def test_one_vault_is_not_believed_about_who_the_primary_is(down: Typing) -> None:
    """The only one that answers missed the failover: what it shows may be old, and the live site stays."""
    for machine in (lambda stage: stage.operator, Stage.other_operator):
        stage = missed_it()
        said = down(machine(stage), "birch")
        assert isinstance(said.exception, TooFewVaults), said.output
        assert "--accept loses-writes" in said.exception.next
        assert stage.state.hosts["birch"].serving


def test_this_machines_own_journal_is_asked(down: Typing) -> None:
    """Epoch 2 was forced into one vault, which is silent now; two others answer, and show epoch 1."""
    stage = one_vault_and_no_primary()
    stage.operator.failover("dover", force=True)
    for vendor in ("birch", "cedar"):
        stage.state.revive(vendor)
    stage.state.lose("elm")
    said = down(stage.operator, "dover")
    assert isinstance(said.exception, Refused), said.output
    assert "epoch 2" in said.exception.why
    assert stage.state.hosts["dover"].serving


def test_where_no_vault_shows_an_epoch_all_are_asked(down: Typing) -> None:
    """A silent one may have the only one there is."""
    stage = Stage(day_one().fleet)
    stage.operator.up("birch")
    for vault in stage.state.vaults.values():
        vault.objects.clear()
    operator = stage.other_operator()
    operator = replace(operator, world=replace(operator.world, clouds=stage.world.clouds))
    stage.state.lose("elm")
    assert isinstance(down(operator, "birch").exception, TooFewVaults)
    stage.state.revive("elm")
    assert down(operator, "birch").output == "birch is down.\n"


def test_another_site_goes_and_the_primary_only_by_name(down: Typing) -> None:
    """With enough vaults that answer it is as it says; the name accepted, no vault needs to say anything."""
    stage = day_one()
    stage.operator.up("birch")
    assert isinstance(down(stage.operator, "acorn").exception, Refused)
    stage.state.lose("elm")
    assert down(stage.operator, "birch").output == "birch is down.\n"
    for vault in ("birch", "cedar"):
        stage.break_next(f"vault.{vault}.get")
    assert down(stage.operator, "acorn", "--accept", "loses-writes").output == "acorn is down.\n"
