"""Alone: one command at a time changes a fleet from this machine, and what can wait gives way to what can't."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from resilience.errors import Locked

GIVES_WAY_S, LOOK_S = 20.0, 0.05
"""So long an interrupted command may take to undo what it was at."""


@contextmanager
def alone(
    path: Path,
    *,
    at: str = "changing this fleet",
    urgent: bool = False,
    gives_way: bool = False,
    say: Callable[[str], object] = sys.stderr.write,
) -> Iterator[None]:
    """Nobody else on this machine does this meanwhile; Locked where somebody is `at` it.

    An `urgent` command interrupts one that `gives_way`: it can be run again at any time.
    """
    with path.open("a+") as lock:
        if not _taken(lock) and not (urgent and _interrupted(lock, say)):
            raise _locked(path, at, _holder(lock))
        _name(lock, {"pid": os.getpid(), "command": " ".join(sys.argv[:4]), "gives_way": gives_way})
        try:
            yield
        finally:
            lock.truncate(0)


def _locked(path: Path, at: str, holder: dict[str, Any]) -> Locked:
    known = f": `{holder['command']}` (process {holder['pid']})" if holder else ""
    how = f"`kill {holder['pid']}`" if holder else "end it"
    return Locked(
        f"Another command is {at}.",
        f"It holds {path}{known}.",
        f"Wait for it, or {how}; what it did so far is in the journal.",
    )


def _taken(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _interrupted(lock: TextIO, say: Callable[[str], object]) -> bool:
    """Whether the holder was one that gives way, and has let go."""
    holder = _holder(lock)
    if not holder.get("gives_way"):
        return False
    say(f"Interrupting `{holder['command']}` (process {holder['pid']}): it can be run again later.\n")
    with suppress(ProcessLookupError):  # it ended by itself
        os.kill(int(holder["pid"]), signal.SIGTERM)
    until = time.monotonic() + GIVES_WAY_S
    while not _taken(lock):
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_S)
    return True


def _holder(lock: TextIO) -> dict[str, Any]:
    """What the holder said of itself; empty where it has not yet, and the words there are those of one that was killed."""
    lock.seek(0)
    try:
        found = json.loads(lock.read())
        holds = isinstance(found, dict) and _has_open(int(found["pid"]), Path(lock.name))
    except (ValueError, KeyError, TypeError):
        return {}
    return found if holds else {}


def _has_open(pid: int, path: Path) -> bool:
    """Whether this process has the file open: a number may have gone to somebody else."""
    with suppress(OSError):
        return any(handle.exists() and handle.samefile(path) for handle in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _name(lock: TextIO, holder: dict[str, Any]) -> None:
    lock.seek(0)
    lock.truncate(0)
    lock.write(json.dumps(holder))
    lock.flush()
