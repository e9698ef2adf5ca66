"""Disk: what a restore wrote outlives a power cut before anybody is told that it is there."""

from __future__ import annotations

import subprocess
from concurrent.futures import Future, wait
from typing import Any

from resilience.errors import ResilienceError
from resilience.replication.config import Config

EVERY = 0.3
"""Seconds between times that the disk is given what was written meanwhile."""


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
