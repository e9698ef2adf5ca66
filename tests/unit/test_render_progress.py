"""Progress of long work: plain lines, a live terminal, or silence."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from resilience.model import Event
from resilience.render import Progress
from tests.journals import DAY, healthy


def told(*, terminal: bool = False, quiet: bool = False) -> tuple[Progress, io.StringIO]:
    """A reporter whose seconds go 0, 2, 4 …, and where it writes."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100, highlight=False, markup=False, color_system=None)
    ticks: Iterator[float] = iter(range(0, 1000, 2))
    return Progress(console=console, quiet=quiet, usual={"fill": 60}, now=lambda: float(next(ticks))), stream


def test_a_stage_says_what_is_usual_and_what_it_took() -> None:
    """One line when it starts, one when it is done, and lines between."""
    progress, stream = told()
    with progress, progress.stage("lab", 12):
        progress.say("five vendors [real]")
    assert stream.getvalue().splitlines() == ["lab (usually 12 s) ...", "five vendors [real]", "    2.0 s  lab: done"]


def test_a_stage_that_fails_says_so() -> None:
    """The error goes on, and the stage does not look done."""
    progress, stream = told()
    with pytest.raises(KeyboardInterrupt), progress, progress.stage("lab"):
        raise KeyboardInterrupt
    assert stream.getvalue().splitlines()[-1] == "    2.0 s  lab: failed"


def test_a_journal_is_followed_with_its_own_seconds() -> None:
    """Stages and steps of a drill, timed by their events; steps that ran side by side are kept apart."""
    progress, stream = told()
    for event in healthy():
        progress.watch(event)
    lines = stream.getvalue().splitlines()
    assert "fill (usually 60 s) ..." in lines
    assert "   62.0 s  fill: done" in lines
    assert "fault: terminate of acorn" in lines
    assert "   24.5 s  shape birch: done" in lines
    assert lines.index("    1.2 s  ledger birch: done") < lines.index("   24.5 s  shape birch: done")


def test_a_failed_step_says_what_happened() -> None:
    """The error's first line stands beside the step, and why and what to do right below: others may go on for long."""
    progress, stream = told()
    about = {"id": "x", "action": "restore", "subject": "birch"}
    progress.watch(Event(DAY, "step-started", about))
    error = {"what": "elm answered 403", "why": "Its rights changed.", "next": "Run `resilience check`."}
    progress.watch(Event(DAY + 3, "step-failed", {**about, **error}))
    assert [line.strip() for line in stream.getvalue().splitlines()] == [
        "3.0 s  restore birch: failed: elm answered 403",
        "Its rights changed.",
        "Run `resilience check`.",
    ]


def test_silent_where_machines_read() -> None:
    """Under --json nothing is said at all."""
    progress, stream = told(quiet=True)
    with progress, progress.stage("lab", 12):
        progress.say("hello")
    for event in healthy():
        progress.watch(event)
    assert stream.getvalue() == ""


def test_a_terminal_shows_what_is_going_on() -> None:
    """Lines that stay are the same; a moving line shows the stage, and is gone at the end."""
    progress, stream = told(terminal=True)
    with progress, progress.stage("lab", 12):
        progress.say("five vendors")
    said = stream.getvalue()
    assert "lab (usually 12 s)" in said
    assert "five vendors" in said
    assert "2.0 s  lab: done" in said


def test_progress_is_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes to standard error, so that standard output holds the answer alone."""
    Progress.for_people().say("hello")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")
