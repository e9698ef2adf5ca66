"""Alone: one command at a time changes a fleet from this machine, and what can wait gives way to what can't."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import FrameType
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
) -> Iterator[Callable[[], bool]]:
    """Nobody else on this machine does this meanwhile; Locked where somebody is `at` it.

    An `urgent` command interrupts one that `gives_way`: it can be run again at any time. What is yielded lets go before
    the end, and says whether it was held until then.
    """
    with path.open("a+") as lock:
        if not _taken(lock) and not (urgent and _interrupted(lock, say)):
            raise _locked(path, at, _holder(lock))
        _name(lock, {"pid": os.getpid(), "command": " ".join(sys.argv[:4]), "gives_way": gives_way})
        held = True

        def let_go() -> bool:
            nonlocal held
            was, held = held, False
            if was:  # never twice: the words there may be the next holder's
                lock.truncate(0)
                fcntl.flock(lock, fcntl.LOCK_UN)
            return was

        try:
            yield let_go
        finally:
            let_go()


@contextmanager
def lets_go_first(let_go: Callable[[], bool]) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Whoever ends this process has the lock at once, and what was under way is interrupted after.

    Within what is yielded, which is for undoing, such an end only lets go; once that was done, the next interrupts.
    """
    undoing = False

    def ended(number: int, frame: FrameType | None) -> None:
        held = let_go()
        if not (undoing and held):
            raise KeyboardInterrupt

    @contextmanager
    def unbroken() -> Iterator[None]:
        nonlocal undoing
        undoing = True
        try:
            yield
        finally:
            undoing = False

    before = {number: signal.signal(number, ended) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield unbroken
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_held(path: Path) -> bool:
    """Whether somebody holds it right now."""
    try:
        with alone(path):
            return False
    except Locked:
        return True


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
