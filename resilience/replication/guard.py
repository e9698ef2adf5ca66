"""guard: stops Postgres when the lease has run out and no ship is there to do it.

A process of its own, because ship may be killed, stopped, or started again and again. It asks no vault: it reads how
long this host may write, which ship notes as often as vaults answer.
"""

from __future__ import annotations

import signal
import threading
from contextlib import closing, suppress
from pathlib import Path

import structlog

from resilience.errors import ResilienceError
from resilience.replication import config as configs
from resilience.replication import lapse, tenure, turn
from resilience.replication.config import Config
from resilience.replication.control import accepts
from resilience.replication.lease import now
from resilience.replication.ship import fence, kill
from resilience.replication.stream import Stream

EVERY = 0.25
log = structlog.get_logger()


def watch(path: Path, stopping: threading.Event) -> None:
    """Look until told to stop, under whatever configuration there is by then."""
    seen, told, unnoted = 0, _told(path), False
    while not stopping.wait(EVERY):
        if (changed := _changed(path)) != seen:
            seen, told = changed, _told(path)
        if told is None or not told.leased:
            continue
        config = turn.start(told)
        unnoted = unnoted and not lapse.note(config)
        left = _left(config)
        if left is not None and left <= 0 and accepts(config.postgres.dsn):
            log.error("the lease ran out, and nobody stopped Postgres", ago_s=round(-left, 3))
            lapse.note(config)
            fence(config)
            kill(config)
            unnoted = not lapse.note(config)  # a ship that went on from the first one started what was ended here


def _left(config: Config) -> float | None:
    """Seconds until this host must stop writing; where it may write and no ship noted a lease, that begins here."""
    left = tenure.left(config, now())
    if left is None and _may_write(config.postgres.dsn):
        log.warning("no ship noted a lease: it begins now", epoch=config.record.number, seconds=config.lease_s)
        begun = tenure.begin(tenure.place(config), config.record.nonce, config.record.vaults, now(), config.lease_s)
        return begun.until - now()
    return left


def _may_write(dsn: str) -> bool:
    """Whether Postgres lets people in and is no copy that stands by; False where it does not say."""
    if not accepts(dsn):
        return False
    with suppress(ResilienceError), closing(Stream(dsn)) as stream:
        return not stream.stands_by()
    return False


def _changed(path: Path) -> int:
    """When the configuration was last put there; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _told(path: Path) -> Config | None:
    """What ship is told; None on a host that is no primary."""
    try:
        return configs.load(path)
    except ResilienceError:
        return None


def main(config: Config, path: str) -> dict[str, object]:
    """Guard until told to stop."""
    stopping = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopping.set())
    watch(Path(path), stopping)
    return {"stopped": True}
