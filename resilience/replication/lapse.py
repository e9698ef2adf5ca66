"""A lease that lapsed with no newer epoch seen: writes were stopped, and go on once that is known.

Whoever seals an epoch leaves it in s vaults, so n - s + 1 vaults that show none prove that there is none.
"""

from __future__ import annotations

import secrets
import subprocess
import threading
from pathlib import Path

import structlog

from resilience.errors import ResilienceError
from resilience.replication.config import Config, sync
from resilience.replication.lease import Lease

MARK = "lapsed"
PAUSE = 1.0
log = structlog.get_logger()


def note(config: Config) -> bool:
    """Remember that writes were stopped for want of answers, not by a newer epoch; False where no disk takes it.

    Before they are: whoever is killed in between would leave a Postgres that nobody starts again. But nothing waits for it.
    Each note is a file of its own, so that whoever goes on from one takes no later one away.
    """
    why = []
    for folder in (config.paths.spool, config.paths.run):  # of a full disk the spool is, and `run` is in memory
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{MARK}-{secrets.token_hex(4)}").touch()
            sync(folder)
        except OSError as error:
            why.append(str(error))
        else:
            return True
    log.warning("it cannot be noted yet that writes are stopped", why=why)
    return False


def noted(config: Config) -> list[Path]:
    """What says that writes were stopped so, and that nobody went on since."""
    return [mark for folder in (config.paths.spool, config.paths.run) for mark in folder.glob(f"{MARK}*")]


def refuse_lapsed(config: Config) -> None:
    """ResilienceError where writes were stopped while this ship ran, by the guard: only a start leads on from there."""
    if noted(config):
        raise ResilienceError(
            "The lease ran out before this ship had asked enough vaults, and Postgres was stopped.",
            "The guard holds Postgres to the lease that was noted.",
            "ship is started again by itself, and goes on once vaults answer.",
        )


def go_on(config: Config, lease: Lease, stopping: threading.Event) -> None:
    """Where writes were stopped so, start again; others ask the vaults meanwhile, and it ends where the lease no longer stands.

    What was noted since may have stopped what was started here: that is begun again.
    """
    while (marks := noted(config)) and lease.stands() and not stopping.is_set():
        if _resumed(config, lease):
            for mark in marks:
                mark.unlink(missing_ok=True)
        else:
            stopping.wait(PAUSE)  # whoever stopped Postgres may still be at it, and mask it after it was unmasked


def _resumed(config: Config, lease: Lease) -> bool:
    """Whether each command was done while the lease stood; once it does not, no more are run."""
    ended = []
    for argv in config.postgres.resume:
        if not lease.stands():
            return False
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        log.warning("going on", command=argv, status=done.returncode, output=(done.stdout + done.stderr)[-500:])
        ended.append(done.returncode)
    return not any(ended) and lease.stands()
