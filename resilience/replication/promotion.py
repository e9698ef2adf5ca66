"""Ship may be started ahead of a promotion: it loads what it needs and waits, and no vault hears of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress

import structlog

from resilience.errors import ResilienceError
from resilience.replication.stream import Stream
from resilience.replication.vaults import loaders

POLL = 0.1
log = structlog.get_logger()


def await_promotion(dsn: str, wait: Callable[[float], None] = time.sleep) -> None:
    """Return at once, unless Postgres is a copy that stands by; then once it was promoted."""
    loading = loaders()
    told = stood_by = False
    while True:
        with suppress(ResilienceError), closing(Stream(dsn)) as stream:
            stood_by = stream.stands_by()  # without an answer it may be starting again
        if not stood_by:
            return
        if not told:
            log.info("waiting for the promotion")
        told = True
        if (load := next(loading, None)) is not None:
            load()
        else:
            wait(POLL)
