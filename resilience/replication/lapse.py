"""A lease that lapsed with no newer epoch seen: writes were stopped, and go on once that is known.

Whoever seals an epoch leaves it in s vaults, so n - s + 1 vaults that show none prove that there is none.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import structlog

from resilience.errors import ResilienceError
from resilience.replication import epoch as epochs
from resilience.replication.config import Config, write_atomic
from resilience.replication.lease import Lease

MARK = "lapsed"
PAUSE = 1.0
log = structlog.get_logger()


def note(config: Config) -> None:
    """Remember that writes were stopped for want of answers, not by a newer epoch."""
    write_atomic(config.paths.spool / MARK, b"")


def go_on(config: Config, wait: Callable[[float], None] = time.sleep) -> None:
    """Where writes were stopped so: wait until enough vaults show no newer epoch, then start again."""
    mark = config.paths.spool / MARK
    if not mark.exists():
        return
    log.warning("waiting for vaults before anybody may write again")
    if not _alone(config, wait):
        return
    for argv in config.postgres.resume:
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        log.warning("going on", command=argv, status=done.returncode, output=(done.stdout + done.stderr)[-500:])
    mark.unlink()


def _alone(config: Config, wait: Callable[[float], None]) -> bool:
    """True once enough vaults show no newer epoch; False when one shows it."""
    record, vaults = config.record, config.open(config.record.vaults)
    lease = Lease(record, config.verify, None)
    while True:
        answers = epochs.each(vaults, lease.look).values()
        if lease.superseded is not None:
            return False
        if sum(not isinstance(answer, ResilienceError) for answer in answers) > len(record.vaults) - record.s:
            return True
        wait(PAUSE)
