"""Disk: what a restore wrote outlives a power cut before anybody is told that it is there."""

from __future__ import annotations

import errno
import shutil
import subprocess
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

from resilience.errors import ResilienceError
from resilience.replication.config import Config

EVERY = 0.3
"""Seconds between times that the disk is given what was written meanwhile."""


FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a system says that has no room left."""
IN_WORDS = "no space left on device"
MB = 1e6
AGAIN = "Give it room, then run the same command again: it begins anew what was half made, and touches nothing else."
GOES_ON = "Give it room: this standby goes on by itself, and nothing is lost meanwhile."


class DiskFull(ResilienceError):
    """There is no room for what is to be written; nothing is lost, and the same command goes on once there is."""

    size: int | None = None
    """How many bytes were to come, if that is known."""


def full(where: Path, size: int | None = None, then: str = AGAIN) -> DiskFull:
    """No room where this file or folder was to be; `size`: how many bytes were to come, if that is known; `then`: what to do."""
    there = next(path for path in (where, *where.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    wants = f"{size / MB:.0f} MB were to come, " if size else ""
    error = DiskFull(
        f"The disk that holds {where} is full.",
        f"{wants}{free / MB:.0f} MB are free there now; WAL since the snapshot needs room beside the files.",
        then,
    )
    error.size = size
    return error


def keep_up(config: Config, writing: Future[Any]) -> None:
    """As long as somebody writes, give the disk what there is: else it would have all of it to do once they are through."""
    while wait((writing,), timeout=EVERY).not_done:
        settle(config)


def settle(config: Config) -> None:
    """Everything that was written where the data directory is, is on the disk; an error that the disk had is ours."""
    if not config.postgres.fsync:
        return
    argv = ["sync", "--file-system", str(config.paths.pg)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ResilienceError(
            f"The disk did not take what was written to {config.paths.pg}.",
            " ".join(done.stderr.split()) or "sync did not say why.",
            "Look at the kernel's log (`dmesg`) and at how full the disk is; then run the same command again, or restore elsewhere.",
        )
