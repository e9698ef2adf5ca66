"""This machine's clock, as far as a lease is waited for by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from resilience.adapters import clock
from resilience.adapters.clock import SystemClock
from resilience.ports import Uptime

ASK = "from resilience.adapters.clock import SystemClock as C; u = C().uptime(); print(u.boot, u.seconds)"


def test_another_process_of_this_boot_goes_on_counting() -> None:
    """The same boot, and no earlier than it was asked here."""
    before = SystemClock().uptime()
    boot, seconds = subprocess.run(
        [sys.executable, "-c", ASK], check=True, capture_output=True, text=True
    ).stdout.split()
    assert before.boot == boot
    assert before.seconds <= float(seconds) <= SystemClock().uptime().seconds


def test_where_no_boot_is_named_no_two_processes_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a lease is waited for whole by whoever goes on."""
    named = SystemClock().uptime()
    monkeypatch.setattr(clock, "BOOT", tmp_path / "absent")
    first, second = SystemClock().uptime(), SystemClock().uptime()
    assert named.boot != first.boot == second.boot
    assert first.seconds <= second.seconds
    monkeypatch.setattr(clock, "PROCESS", "another")
    assert isinstance(again := SystemClock().uptime(), Uptime)
    assert again.boot != first.boot
