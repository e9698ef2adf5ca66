"""A rehearsal that is ended half-way: the fleet is free at once, and its host is removed, or told until somebody did."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from resilience import cli
from resilience.cli import rehearse as command
from resilience.cli.alone import alone
from resilience.decide import rehearsal_fleet
from resilience.engine.rehearsal import Rehearsal
from resilience.errors import Locked, ResilienceError, UsageError
from resilience.model import Fleet, Plan, Site
from resilience.ports import Deed, in_turn
from resilience.simulation import simulated_fleet
from resilience.simulation.doors import Killed
from tests.sim.rehearsing import beside, rehearse
from tests.sim.stage import Stage, begun
from tests.sim.typed import typing_at

HOST = "birch-rehearsal"
Typed = Callable[..., Result]


@pytest.fixture
def stage() -> Stage:
    """Besides birch a rehearsal can make a host at dover."""
    fleet = simulated_fleet()
    return begun(replace(fleet, sites=(*fleet.sites, Site("dover", "dover", "lab")), lab=False))


@pytest.fixture
def typed(stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Typed:
    """A line, typed on this stage; a rehearsal has its own World beside it."""
    typing_at(stage, stage.world, monkeypatch, tmp_path)

    @contextmanager
    def its_own(_home: object, rehearsed: Fleet, _log: object) -> Iterator[object]:
        yield beside(stage, rehearsed), None

    monkeypatch.setattr(command, "real_world", its_own)
    return lambda *words: CliRunner().invoke(cli.app, words)


def killed(stage: Stage) -> None:
    """A rehearsal of birch is killed before its host is removed."""
    stage.break_next(f"cloud.{HOST}.down", call=2, how="killed")
    with pytest.raises(Killed):
        rehearse(stage.operator)
    assert hosts(stage) == {HOST}


def hosts(stage: Stage) -> set[str]:
    """Hosts of rehearsals."""
    assert stage.beside is not None
    return {name for name in stage.beside.hosts if name not in {site.name for site in stage.fleet.sites}}


def test_the_next_one_clears_whatever_site_it_takes(stage: Stage) -> None:
    """Birch is the primary by then, say: nobody rehearses it again, and its host held the whole database for good."""
    killed(stage)
    rehearse(stage.operator, "dover")
    assert hosts(stage) == set()


def test_the_fleets_journal_tells_of_its_host_and_no_more(stage: Stage) -> None:
    """That it is made, before it is, and that it is gone: all else is in the rehearsal's own."""
    known = len(stage.state.events)
    rehearse(stage.operator)
    told = [(event.kind, event.data) for event in stage.state.events[known:]]
    assert told == [("rehearsal-host", {"site": HOST}), ("rehearsal-host-removed", {"site": HOST})]


def test_status_tells_and_down_removes_it(stage: Stage, typed: Typed) -> None:
    """Until it is gone; while a rehearsal is under way its host is no news."""
    killed(stage)
    told = f"resilience down {HOST}"
    assert told in typed("status").output
    with alone(Path(".rehearsals.lock")):
        assert told not in typed("status").output
        assert isinstance(typed("down", HOST).exception, Locked)
    said = typed("down", HOST)
    assert said.output == f"{HOST} is down.\n"
    assert [event.data for event in stage.state.events if event.kind == "rehearsal-host-removed"][-1] == {"site": HOST}
    assert told not in typed("status").output
    assert isinstance(typed("down", "elm-rehearsal").exception, UsageError)


def test_a_host_whose_site_is_declared_no_more_is_told(stage: Stage, typed: Typed) -> None:
    """It can't be removed without its stack: it stays in status, and in the verdict of each rehearsal."""
    killed(stage)
    stage.fleet = replace(stage.fleet, sites=tuple(site for site in stage.fleet.sites if site.name != "birch"))
    assert f"resilience down {HOST}" in typed("status").output
    rehearse(stage.operator, "dover")
    assert stage.beside is not None
    (left,) = [event.data["left"] for event in stage.beside.events if event.kind == "torn-down"]
    assert [HOST in why for why in left] == [True]


@pytest.mark.parametrize("door", [f"cloud.{HOST}.up", f"cloud.{HOST}.down"])
def test_the_fleet_is_free_before_the_host_is_removed(stage: Stage, typed: Typed, door: str) -> None:
    """A failover that ends it, in the middle of provisioning or of the teardown itself, waits for neither; the host goes all the same."""
    free: list[str] = []
    seen: list[str] = []

    def watch(passed: str) -> None:
        seen.append(passed)
        if f"cloud.{HOST}.up" not in seen:
            return
        if passed == door:
            os.kill(os.getpid(), signal.SIGTERM)
        if passed == f"cloud.{HOST}.down":
            with alone(Path(".lock"), urgent=True):
                free.append("fleet")
            with pytest.raises(Locked), alone(Path(".rehearsals.lock")):
                free.append("rehearsals")

    stage.state.watchers.append(watch)
    before = signal.getsignal(signal.SIGTERM)
    typed("rehearse", "--to", "birch")
    assert free == ["fleet"]
    assert hosts(stage) == set()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_lane_that_outlives_the_interrupt_makes_no_host(stage: Stage) -> None:
    """Threads go on when the command is interrupted: a host made after the teardown would be nobody's."""
    fleet = rehearsal_fleet(stage.fleet, "birch", "r1", "acorn")
    world, lanes = beside(stage, fleet), list[Deed]()
    groups: list[str] = []

    def interrupted(deeds: Sequence[Deed]) -> None:
        if not groups:
            plan = next(Plan.from_json(event.data["plan"]) for event in world.log.read() if event.kind == "plan")
            groups.extend(",".join(step.action for lane in group for step in lane) for group in plan.groups)
        if "provision" not in groups.pop(0):
            return in_turn(deeds)
        lanes.extend(deeds)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Rehearsal(stage.world, stage.fleet, replace(world, together=interrupted), fleet).run(
            frozenset(), lambda _: None
        )
    refused: list[str] = []
    for lane in lanes:
        try:
            lane()
        except ResilienceError as error:
            refused.append(error.what)
    assert f"{HOST} is not made." in refused
    assert hosts(stage) == set()
