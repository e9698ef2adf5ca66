"""The operator's timers: each runs a command that exists, and each service has its timer."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resilience.cli import app
from resilience.config.schema import PromiseTable

TIMERS = Path(__file__).parents[2] / "docs/timers"
HOUR, DAY = 3600.0, 86_400.0
PROMISE = PromiseTable(rto_s=1.0, rpo_s=1.0)
RUNS = 12 * HOUR
"""More than a verification or a rehearsal takes, and what counts is its end."""


def unit(path: Path) -> configparser.ConfigParser:
    """A systemd unit, read."""
    found = configparser.ConfigParser(interpolation=None)
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(path.read_text())
    return found


@pytest.mark.parametrize("path", sorted(TIMERS.glob("*.service")), ids=lambda path: path.stem)
def test_a_timer_runs_what_is_there(path: Path) -> None:
    """The command and its options are known, it waits for the network, and a timer starts it."""
    _, command, *options = shlex.split(unit(path)["Service"]["ExecStart"])
    said = CliRunner().invoke(app, [command, "--help"])
    assert said.exit_code == 0
    assert all(option in said.output for option in options)
    assert unit(path.with_suffix(".timer"))["Timer"]["OnCalendar"]


def apart(calendar: str) -> float:
    """Seconds between two moments at most, of what our timers say: `weekly`, `daily`, or every so many days of a month, from its first on."""
    named = {"weekly": 7.0, "daily": 1.0}
    return DAY * (named[calendar] if calendar in named else float(calendar.removeprefix("*-*-1/")))


def seconds(span: str) -> float:
    """A span as systemd takes it."""
    return float(span.removesuffix("min")) * 60 if span.endswith("min") else float(span.removesuffix("h")) * HOUR


@pytest.mark.parametrize(
    ("name", "promised"), [("verify", PROMISE.verify_every_days), ("rehearse", PROMISE.drill_every_days)]
)
def test_a_fleet_that_is_well_is_never_critical_between_two_runs(name: str, promised: float) -> None:
    """From the end of one to the end of the next, late as it may begin and long as it may take, is less than the fleet file's default."""
    timer = unit(TIMERS / f"resilience-{name}.timer")["Timer"]
    assert apart(timer["OnCalendar"]) + seconds(timer["RandomizedDelaySec"]) + RUNS <= promised * DAY
    assert timer["Persistent"] == "true", "what was missed while the machine was off is made up for"
