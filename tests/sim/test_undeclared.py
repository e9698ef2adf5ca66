"""A site that left the fleet file while its epoch lets it write: told in words by whatever asks who may write."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resilience import cli
from resilience.decide import plan_failover
from resilience.decide.restore import plan_restore
from resilience.decide.snapshot import plan_snapshot
from resilience.decide.standing import standing
from resilience.decide.stay import plan_protect
from resilience.decide.switchover import plan_switchover
from resilience.decide.vaults import plan_vaults
from resilience.engine.observe import observe, survey_after_loss
from resilience.engine.serving import serving_site
from resilience.engine.verify import verify
from resilience.errors import Exit, ResilienceError
from resilience.model import Fleet, Point
from resilience.ports import World
from resilience.render import survey_text
from resilience.simulation import simulated_world
from tests.sim.stage import Stage, day_one
from tests.sim.typed import typing_at

Act = Callable[[Fleet, World], object]
PLANS: dict[str, Act] = {
    "failover": lambda fleet, world: plan_failover(fleet, observe(world, fleet)),
    "protect": lambda fleet, world: plan_protect(fleet, observe(world, fleet)),
    "restore": lambda fleet, world: plan_restore(
        fleet, observe(world, fleet), Point(1, "0/10", 1.0, "label", 1, "0/20", 2.0)
    ),
    "snapshot": lambda fleet, world: plan_snapshot(fleet, observe(world, fleet)),
    "switchover": lambda fleet, world: plan_switchover(fleet, observe(world, fleet)),
    "vaults": lambda fleet, world: plan_vaults(fleet, observe(world, fleet)),
    "survey": lambda fleet, world: survey_after_loss(world, fleet, frozenset()),
    "serving": lambda fleet, world: serving_site(world, fleet),
    "verify": lambda fleet, world: verify(world, fleet),
}
LINES = ("plan", "failover", "protect", "switchover", "vaults", "snapshot", "open read-only", "catch-up elm", "erase")


def gone(stage: Stage) -> tuple[Fleet, World]:
    """The fleet file lost the site that serves, and so this machine knows no stack of it."""
    fleet = replace(stage.fleet, lab=False, sites=stage.fleet.sites[1:])
    return fleet, replace(simulated_world(stage.state, fleet), log=stage.world.log)


@pytest.mark.parametrize("act", PLANS.values(), ids=PLANS)
def test_whatever_asks_says_which_site_and_what_to_do(act: Act) -> None:
    """The site by its name, that the file does not declare it, and the way on; nothing is noted as if it had been looked at."""
    fleet, world = gone(day_one())
    before = len(world.log.read())
    with pytest.raises(ResilienceError) as told:
        act(fleet, world)
    assert "acorn" in told.value.what
    assert "fleet file" in told.value.why
    assert "back into" in told.value.next
    assert len(world.log.read()) == before


@pytest.mark.parametrize("line", LINES)
def test_so_does_each_command(line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Typed, it ends in the same words."""
    stage = day_one()
    stage.fleet, world = gone(stage)
    typing_at(stage, world, monkeypatch, tmp_path)
    said = CliRunner().invoke(cli.app, line.split())
    assert isinstance(said.exception, ResilienceError), said.exception
    assert "acorn" in said.exception.what
    assert "fleet file" in said.exception.why


def test_status_shows_the_rest_and_is_critical(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Vaults, sites and zones are shown as ever; that nobody declared who may write comes with what to do."""
    stage = day_one()
    stage.fleet, world = gone(stage)
    typing_at(stage, world, monkeypatch, tmp_path)
    said = CliRunner().invoke(cli.app, ["status", "--json"])
    assert said.exit_code == Exit.MISSED, said.exception
    assert [why for why in json.loads(said.output)["critical"] if "acorn" in why and "fleet file" in why]
    assert "1: acorn may write" in survey_text(stage.fleet, observe(world, stage.fleet))
    assert standing(stage.fleet, observe(world, stage.fleet)) is not None
