"""The operator's timers: each runs a command that exists, and each service has its timer."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resilience.cli import app

TIMERS = Path(__file__).parents[2] / "docs/timers"


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
