"""Plugins that outlived their engine: a killed engine does not take them along."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PLUGIN = b"pulumi-resource-"


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    command: bytes


def end_orphans(backend_url: str) -> list[int]:
    """End plugins on this state whose engine is gone; those of a living engine are left alone."""
    ours = _processes_on(backend_url)
    roots = [pid for pid, one in ours.items() if PLUGIN in one.command and one.parent not in ours]
    ended = [pid for root in roots for pid in (root, *_children(ours, root))]
    for pid in ended:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return ended


def _processes_on(backend_url: str) -> Mapping[int, _Process]:
    """Processes that were started to work on this state, engines among them."""
    mark = f"PULUMI_BACKEND_URL={backend_url}".encode()
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            pid = int(entry.name)
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                found[pid] = _Process(parent, (entry / "cmdline").read_bytes())
    return found


def _children(ours: Mapping[int, _Process], root: int) -> list[int]:
    """Everything below a process."""
    below = [pid for pid, one in ours.items() if one.parent == root]
    return below + [pid for child in below for pid in _children(ours, child)]
