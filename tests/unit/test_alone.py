"""One command at a time changes a fleet; what can wait gives way to a failover."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from resilience.cli.alone import alone
from resilience.errors import Locked

HOLD = """
import signal, sys, threading
from pathlib import Path
from resilience.cli import _terminated
from resilience.cli.alone import alone
signal.signal(signal.SIGTERM, _terminated)
sys.argv = ["resilience", "snapshot", "--due"]
try:
    with alone(Path(sys.argv_path), gives_way=sys.gives_way):
        print("held", flush=True)
        threading.Event().wait(600)
except KeyboardInterrupt:
    sys.exit(130)
"""


def holder(path: Path, *, gives_way: bool) -> subprocess.Popen[str]:
    """Another process that holds the fleet."""
    told = f"import sys; sys.argv_path = {str(path)!r}; sys.gives_way = {gives_way!r}\n"
    process = subprocess.Popen([sys.executable, "-c", told + HOLD], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as told_us:
        assert told_us.readline() == "held\n"
    return process


def refused(path: Path, process: subprocess.Popen[str], *, urgent: bool) -> None:
    """The second is refused, and told which the first is."""
    with pytest.raises(Locked) as error, alone(path, urgent=urgent):
        pass
    assert process.poll() is None
    assert f"`resilience snapshot --due` (process {process.pid})" in error.value.why
    assert f"kill {process.pid}" in error.value.next


def test_what_can_wait_gives_way_to_a_failover_and_to_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer's snapshot is interrupted, undoes what it was at, and says so; the failover goes on at once."""
    monkeypatch.setattr("resilience.cli.alone.GIVES_WAY_S", 120.0)
    path, said = tmp_path / ".lock", list[str]()
    process = holder(path, gives_way=True)
    refused(path, process, urgent=False)
    with alone(path, urgent=True, say=said.append):
        assert process.wait(120) == 130
    assert "Interrupting `resilience snapshot --due`" in said[0]


def test_nothing_else_is_interrupted_and_a_dead_one_keeps_nobody_out(tmp_path: Path) -> None:
    """Not by a failover either; the lock goes with the process, whatever its file still says."""
    path = tmp_path / ".lock"
    process = holder(path, gives_way=False)
    refused(path, process, urgent=True)
    process.kill()
    process.wait()
    with alone(path):
        pass


def test_words_of_a_dead_holder_are_nobodys(tmp_path: Path) -> None:
    """Its number may be another process's by now: that one is left alone."""
    path = tmp_path / ".lock"
    process = holder(path, gives_way=True)
    stranger = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait(600)"])
    try:
        path.write_text(json.dumps({"pid": stranger.pid, "command": "resilience snapshot", "gives_way": True}))
        with pytest.raises(Locked), alone(path, urgent=True):
            pass
        assert stranger.poll() is None
    finally:
        for one in (process, stranger):
            one.kill()
            one.wait()
