"""A chain that is broken in all vaults: the failover stops, says where data is good until, and goes on on purpose only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resilience import cli
from resilience.cli import context
from resilience.errors import BrokenChain, Refused, ResilienceError, UsageError
from resilience.judge import judge
from resilience.simulation import SimulatedUsers
from resilience.wire import Home
from tests.journals import healthy
from tests.sim.broken import GOOD, MISSING, Broken
from tests.sim.stage import Stage, day_one


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    """A fleet whose primary's vendor is lost, with that hole; the command line's World is this one."""
    made = day_one()
    made.state.lose("acorn")
    world = replace(made.world, plane=Broken(made.world.plane))

    @contextmanager
    def simulated(*_: object) -> Iterator[object]:
        yield world, SimulatedUsers(made.state, made.fleet)

    monkeypatch.setattr(context, "real_world", simulated)
    monkeypatch.setattr(Home, "load", lambda _home: made.fleet)
    monkeypatch.chdir(tmp_path)
    return made


def typed(*words: str) -> ResilienceError | None:
    """The failover as a person types it; the error it ended with."""
    error = CliRunner().invoke(cli.app, ["failover", "--json", *words]).exception
    assert error is None or isinstance(error, ResilienceError), error
    return error


def stopped(stage: Stage) -> None:
    """The failover ran up to the hole."""
    shown = typed()
    assert isinstance(shown, UsageError)
    digest = shown.next.split()[-1]
    accepted = [word for name in ("loses-writes", "old-name-served", "never-run-here") for word in ("--accept", name)]
    error = typed("--digest", digest, *accepted)
    while isinstance(error, Refused):
        accepted += [word for word in error.next.split("add: ")[1].split() if word not in {"--accept", *accepted}]
        accepted = [word for name in accepted if name != "--accept" for word in ("--accept", name)]
        error = typed("--digest", digest, *accepted)
    assert isinstance(error, BrokenChain)
    assert (error.missing, GOOD in error.good_until) == (MISSING, True)


def test_it_goes_on_only_up_to_there_and_only_by_name(stage: Stage) -> None:
    """Run again it stops again; another position and no name are refused; with both it serves, and the journal says why."""
    stopped(stage)
    assert isinstance(typed(), BrokenChain)
    assert isinstance(typed("--accept-end", GOOD), Refused)
    assert isinstance(typed("--accept-end", "0/16B3740", "--accept", "broken-chain"), Refused)
    assert isinstance(typed("--accept-end", "there", "--accept", "broken-chain"), UsageError)
    assert not [event for event in stage.state.events if event.kind == "end-accepted"]
    assert typed("--accept-end", GOOD, "--accept", "broken-chain") is None
    (accepted,) = (event for event in stage.state.events if event.kind == "end-accepted")
    assert (accepted.data["end"], accepted.data["missing"]) == (GOOD, MISSING)
    newest = stage.monitor.newest()
    assert newest is not None
    assert newest.site == "birch"


def test_nothing_is_accepted_beforehand(stage: Stage) -> None:
    """Where no restore said what is missing there is nothing to accept."""
    error = typed("--accept-end", GOOD, "--accept", "broken-chain")
    assert isinstance(error, UsageError)
    assert "No failover stopped" in error.what


def test_such_a_recovery_is_never_met() -> None:
    """The verdict over a journal that was otherwise good is missed, and names the end and what is lost."""
    events = healthy()
    assert judge(events).verdict == "met"
    at = next(n for n, event in enumerate(events) if event.kind == "fault") + 1
    facts = {"digest": "d", "end": GOOD, "missing": MISSING, "good_until": GOOD}
    found = judge([*events[:at], replace(events[at], kind="end-accepted", data=facts), *events[at:]])
    assert (found.verdict, found.accepted_end) == ("missed", GOOD)
    assert any(MISSING in why for why in found.why)
