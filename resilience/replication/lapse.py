"""A lease that lapsed with no newer epoch seen: writes were stopped, and go on once that is known.

Whoever seals an epoch leaves it in s vaults, so n - s + 1 vaults that show none prove that there is none.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping

import structlog

from resilience.errors import ResilienceError
from resilience.replication import epoch as epochs
from resilience.replication import tenure
from resilience.replication.config import Config, write_atomic
from resilience.replication.lease import Lease

MARK = "lapsed"
PAUSE = 1.0
log = structlog.get_logger()


def note(config: Config) -> bool:
    """Remember that writes were stopped for want of answers, not by a newer epoch; False where the disk takes nothing.

    Before they are: whoever is killed in between would leave a Postgres that nobody starts again. But nothing waits for it.
    """
    try:
        write_atomic(config.paths.spool / MARK, b"")
    except OSError as error:
        log.warning("it cannot be noted yet that writes are stopped", why=str(error))
        return False
    return True


def refuse_lapsed(config: Config) -> None:
    """ResilienceError where writes were stopped while this ship ran, by the guard: only a start leads on from there."""
    if (config.paths.spool / MARK).exists():
        raise ResilienceError(
            "The lease ran out before this ship had asked enough vaults, and Postgres was stopped.",
            "The guard holds Postgres to the lease that was noted.",
            "ship is started again by itself, and goes on once vaults answer.",
        )


def go_on(config: Config, wait: Callable[[float], None] = time.sleep) -> Mapping[str, float] | None:
    """Where writes were stopped so: wait until enough vaults show no newer epoch, then start again.

    Returns when each vault was asked, on which the lease rests from then on; None where writes were not stopped.
    """
    mark = config.paths.spool / MARK
    if not mark.exists():
        return None
    log.warning("waiting for vaults before anybody may write again")
    while (lease := _alone(config, wait)) is not None:
        if _resumed(config):
            mark.unlink()
            return lease.since()
        wait(PAUSE)  # whoever stopped Postgres may still be at it, and mask it after it was unmasked
    return None


def _resumed(config: Config) -> bool:
    """Whether each command was done; all are run."""
    ended = []
    for argv in config.postgres.resume:
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        log.warning("going on", command=argv, status=done.returncode, output=(done.stdout + done.stderr)[-500:])
        ended.append(done.returncode)
    return not any(ended)


def _alone(config: Config, wait: Callable[[float], None]) -> Lease | None:
    """A lease once enough vaults show no newer epoch; None when one shows it."""
    record, vaults = config.record, config.open(config.record.vaults)
    lease = Lease(record, config.verify, config.lease_s if config.leased else None, {}, tenure.place(config))
    try:
        while True:
            answers = epochs.each(vaults, lease.look).values()
            if lease.superseded is not None:
                return None
            if sum(not isinstance(answer, ResilienceError) for answer in answers) > len(record.vaults) - record.s:
                return lease
            wait(PAUSE)
    finally:
        for vault in vaults.values():
            vault.close()
