"""A chain that is broken in all vaults: the failover stops, says where data is good until, and goes on on purpose only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resilience import cli
from resilience.errors import BrokenChain, Refused, ResilienceError, UsageError
from resilience.judge import judge
from tests.journals import healthy
from tests.sim.broken import GOOD, MISSING, Broken
from tests.sim.stage import Stage, day_one
from tests.sim.typed import typing_at


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    """A fleet whose primary's vendor is lost, with that hole; the command line's World is this one."""
    made = day_one()
    made.state.lose("acorn")
    typing_at(made, replace(made.world, plane=Broken(made.world.plane)), monkeypatch, tmp_path)
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


def test_typed_again_it_goes_on(stage: Stage) -> None:
    """It stopped later, for another reason: the same words go on, and the end is accepted once."""
    stopped(stage)
    stage.break_next("app.birch.start")
    accepting = ("--accept-end", GOOD, "--accept", "broken-chain")
    broke = typed(*accepting)
    assert broke is not None
    assert "app.birch.start broke" in broke.what
    assert isinstance(typed("--accept-end", "0/16B3740", *accepting[2:]), UsageError)
    assert typed(*accepting) is None
    assert sum(event.kind == "end-accepted" for event in stage.state.events) == 1
    assert stage.post(1) == 1


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
