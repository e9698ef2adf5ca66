"""What the lab knows of its processes, while a host that boots makes control groups and removes them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from resilience.lab import processes


def test_groups_that_go_while_one_looks_are_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is in those that stay is told all the same, and in the end all of them go."""
    monkeypatch.setattr(processes, "group_roots", lambda: (tmp_path,))
    [group] = processes.groups("host")
    stays = group / "init.scope"
    stays.mkdir(parents=True)
    (stays / "cgroup.procs").write_text(f"{os.getpid()}\n")
    over = threading.Event()

    def boot() -> None:
        while not over.is_set():
            for number in range(20):
                (group / f"unit{number}/part").mkdir(parents=True)
            for number in range(20):
                (group / f"unit{number}/part").rmdir()
                (group / f"unit{number}").rmdir()

    booting = threading.Thread(target=boot)
    booting.start()
    try:
        assert [processes.members("host") for _ in range(100)] == [{os.getpid()}] * 100
    finally:
        over.set()
        booting.join()
    (stays / "cgroup.procs").unlink()
    processes.end_group("host")
    assert not group.exists()
