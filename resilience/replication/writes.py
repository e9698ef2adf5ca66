"""Writes: ship's two handles on Postgres while vaults don't keep up. Both survive a restart of Postgres.

*Stopped*: transactions are read-only, and those that had already written are ended.
*Degraded*: commits no longer wait for vaults, except those that ask for it (`synchronous_commit = on`).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import LiteralString

import structlog

from resilience.replication import sessions
from resilience.replication.config import write_atomic

STOP: LiteralString = "ALTER SYSTEM SET default_transaction_read_only = on"
RESUME: LiteralString = "ALTER SYSTEM RESET default_transaction_read_only"
DEGRADE: LiteralString = "ALTER SYSTEM SET synchronous_commit = local"
RESTORE: LiteralString = "ALTER SYSTEM RESET synchronous_commit"
OURS = ("default_transaction_read_only", "synchronous_commit")
"""Settings that belong to a moment at one site: a copy elsewhere must not inherit them."""
END_WRITERS: LiteralString = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
"""
log = structlog.get_logger()


class Writes:
    """Whether anybody may write, and whether commits wait."""

    def __init__(self, dsn: str, mark: Path) -> None:
        self.stopped_since: float | None = None
        self.degraded_since: float | None = None
        self._dsn = dsn
        self._mark = mark
        """There while Postgres is not as the operator set it: a ship that is started again puts that right."""

    def be(self, *, stopped: bool, degraded: bool) -> None:
        """Bring Postgres into this state; does nothing where it is."""
        stops, degrades = stopped != bool(self.stopped_since), degraded != bool(self.degraded_since)
        as_set = not stopped and not degraded
        if not stops and not degrades and self._mark.exists() != as_set:
            return
        write_atomic(self._mark, b"")
        with sessions.superuser(self._dsn, timeout=5) as db:
            db.execute(STOP if stopped else RESUME)
            db.execute(DEGRADE if degraded else RESTORE)
            db.execute("SELECT pg_reload_conf()")
            if stopped:
                db.execute(END_WRITERS)
        if stops or degrades:
            log.error("writes", stopped=stopped, commits_wait=not degraded)
        now = time.time()
        self.stopped_since = (self.stopped_since or now) if stopped else None
        self.degraded_since = (self.degraded_since or now) if degraded else None
        if as_set:
            self._mark.unlink()
