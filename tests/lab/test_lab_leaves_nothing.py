"""Whatever happens to whoever made the lab, nothing of it stays on the machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resilience.errors import Locked, UsageError
from resilience.lab import Lab, places, processes

pytestmark = pytest.mark.lab

MAKE = """
import sys
from pathlib import Path
from resilience.lab import Lab
lab = Lab(Path(sys.argv[1]))
lab.up(lambda what: print(what, flush=True), keep=sys.argv[2] == "keep")
print("up", flush=True)
sys.stdin.read()
"""
PHASES = ["network", "vendors", "a bare-metal host at cedar", "waiting for the vendors' services", "up"]


def _sockets() -> dict[str, int]:
    """What a store of the lab's would leave in the machine's /tmp, and when that was made."""
    found = Path("/tmp").glob("seaweedfs-*-10080.sock")  # noqa: S108 - where it puts them
    return {str(path): path.stat().st_ctime_ns for path in found}


STALE = _sockets()
"""Somebody's, from before: no lab of these tests made them."""


def _traces() -> dict[str, list[str]]:
    """What a lab could leave, seen without the lab's own code."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    sockets = [name for name, made in _sockets().items() if STALE.get(name) != made]
    # os.walk goes on where a group vanishes while it looks
    groups = [
        f"{folder}/{name}"
        for folder, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if name == processes.GROUP
    ]
    nspawn = Path("/run/systemd/nspawn")
    return {
        "namespaces": [path.name for path in Path("/run/netns").glob(f"{places.PREFIX}*")],
        "mounts": [line for line in mounts if places.PREFIX in line],
        "processes": _processes(),
        "sockets": sockets,
        "groups": groups,
        "run": [str(path) for path in Path("/run").glob(f"resilience-lab{places.INSTANCE}*")],
        "nspawn": [str(path) for path in nspawn.glob("propagate/*-1")],
    }


def _processes() -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"{processes.MARK}=".encode() in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def _nothing(left: dict[str, list[str]]) -> bool:
    return not any(left.values())


def _start(directory: Path, mode: str = "hold") -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    return subprocess.Popen(
        [sys.executable, "-c", MAKE, str(directory), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def _wait_for(process: subprocess.Popen[str], phase: str) -> None:
    assert process.stdout
    for line in process.stdout:
        if line.strip() == phase:
            return
    pytest.fail(f"it ended before {phase}")


def _end(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=300)


def test_nothing_is_left_after_down(tmp_path: Path) -> None:
    """Namespaces, mounts, processes, sockets, control groups, files: all gone, and down again is no error."""
    lab = Lab(tmp_path / "lab")
    lab.up()
    assert lab.is_up()
    assert lab.leftovers()
    assert lab.down() == []
    assert lab.leftovers() == []
    assert not (tmp_path / "lab").exists()
    assert _nothing(_traces()), _traces()
    assert lab.down() == []


@pytest.mark.parametrize("phase", PHASES)
def test_what_a_kill_left_is_cleaned_in_any_phase(tmp_path: Path, phase: str) -> None:
    """SIGKILL in the middle of `up`, then `down` from another process."""
    process = _start(tmp_path / "lab")
    _wait_for(process, phase)
    process.kill()
    _end(process)
    assert not _nothing(_traces())
    lab = Lab(tmp_path / "lab")
    assert lab.down() == []
    assert _nothing(_traces()), _traces()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("phase", ["vendors", "waiting for the vendors' services"])
def test_an_interrupted_up_cleans_up_itself(tmp_path: Path, phase: str, how: signal.Signals) -> None:
    """Ctrl-C and kill while the lab is being made."""
    process = _start(tmp_path / "lab")
    _wait_for(process, phase)
    process.send_signal(how)
    _end(process)
    assert process.returncode != 0
    assert _nothing(_traces()), _traces()


def test_up_cleans_what_a_kill_left_even_without_its_folder(tmp_path: Path) -> None:
    """The state is lost too; the next lab finds the remains by their names and says so."""
    process = _start(tmp_path / "first")
    _wait_for(process, "up")
    process.kill()
    _end(process)
    shutil.rmtree(tmp_path / "first")
    said: list[str] = []
    lab = Lab(tmp_path / "second")
    lab.up(said.append)
    try:
        assert said[0] == "removing what a killed lab left behind"
    finally:
        assert lab.down() == []
    assert _nothing(_traces()), _traces()


def test_somebodys_files_are_never_taken_for_a_lab(tmp_path: Path) -> None:
    """A folder with other files is refused before anything is made, and down leaves it alone."""
    (tmp_path / "holiday.jpg").write_bytes(b"beach")
    with pytest.raises(UsageError, match="cannot hold a lab"):
        Lab(tmp_path).up()
    assert Lab(tmp_path).down() == []
    assert (tmp_path / "holiday.jpg").read_bytes() == b"beach"
    assert _nothing(_traces()), _traces()


def test_a_lab_that_is_kept_outlives_its_maker(tmp_path: Path) -> None:
    """`lab up` ends and the lab stays; another is refused, and down from anywhere removes it."""
    process = _start(tmp_path / "lab", "keep")
    _wait_for(process, "up")
    _end(process)
    try:
        assert Lab(tmp_path / "lab").is_up()
        with pytest.raises(Locked, match="There is a lab already"):
            Lab(tmp_path / "other").up()
        assert Lab(tmp_path / "lab").is_up()
    finally:
        assert Lab(tmp_path / "lab").down() == []
    assert _nothing(_traces()), _traces()


def test_down_waits_for_nobody_who_uses_the_lab(tmp_path: Path) -> None:
    """While a drill holds the lab, down is told so and touches nothing."""
    process = _start(tmp_path / "lab")
    _wait_for(process, "up")
    with pytest.raises(Locked, match="in use"):
        Lab(tmp_path / "lab").down()
    assert Lab(tmp_path / "lab").is_up()
    process.kill()
    _end(process)
    started = time.monotonic()
    assert Lab(tmp_path / "lab").down() == []
    assert time.monotonic() - started < 240
