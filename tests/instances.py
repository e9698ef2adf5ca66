"""Names for the labs of a run of tests: no two runs share one, and what a killed run left is removed."""

from __future__ import annotations

import fcntl
import os
from itertools import count
from pathlib import Path

LOCKS = Path("/run/lock")


def claim(name: str) -> str:
    """This name; with a number behind it where another run of tests has it."""
    names = (f"{name}{number if number > 1 else ''}" for number in count(1))
    return next(tried for tried in names if _lock(tried))


def _lock(name: str) -> bool:
    """For as long as the process lives, however it ends: nobody closes what is opened here."""
    opened = os.open(LOCKS / f"resilience-tests-{name}", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return False
    return True


def remove_what_was_left() -> None:
    """Take down the lab that a killed run kept under this process' name: nobody can be using it any more."""
    from resilience.lab import Lab, cleanup  # the name is read when they are loaded

    kept = cleanup.kept_lab()
    if kept is not None:
        Lab(Path(kept)).down()
