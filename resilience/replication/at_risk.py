"""What would be lost if this host were gone now: everything past the position that k vaults hold."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import psycopg

from resilience.replication import commits, lsn
from resilience.replication.config import Config

END = "SELECT pg_current_wal_flush_lsn()::text, timeline_id FROM pg_control_checkpoint()"


FRESH = 10.0
"""Seconds for which ship's last word tells what Postgres has written, where Postgres itself does not."""


class End(NamedTuple):
    """Up to where Postgres has written, and on which timeline."""

    position: int
    timeline: int


def at_risk(config: Config, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds, bytes, transactions and objects that fewer than k vaults hold; null for what can't be told.

    What ship said last is as old as ship is silent, so Postgres itself is asked; where both are silent, nobody knows.
    """
    lacking = sorted(int(vault["backlog_objects"]) for vault in facts["vaults"].values() if not vault.get("apart"))
    k, confirmed = config.record.k, lsn.parse(facts["confirmed_lsn"])
    end, silent = _end(config), max(0.0, time.time() - facts["at"])
    if end is None and silent > FRESH:
        return {"seconds": None, "bytes": None, "transactions": None, "objects": None}
    lost = max(0, end.position - confirmed) if end else facts["lag_bytes"]
    transactions = _transactions(config, confirmed, end) if end and confirmed else None
    return {
        "seconds": 0.0 if not lost or transactions == 0 else round(facts["lag_seconds"] + silent, 3),
        "bytes": lost,
        "transactions": transactions,
        "objects": lacking[k - 1] if len(lacking) >= k else None,
    }


def _end(config: Config) -> End | None:
    """None where Postgres does not answer."""
    try:
        with psycopg.connect(config.postgres.dsn, autocommit=True, connect_timeout=2) as db:
            row = db.execute(END).fetchone()
    except psycopg.Error:
        return None
    return None if row is None else End(lsn.parse(row[0]), int(row[1]))


def _transactions(config: Config, confirmed: int, end: End) -> int | None:
    """Commits past a position, counted in the WAL itself."""
    if end.position <= confirmed:
        return 0
    found = commits.between(config, confirmed, end.position, end.timeline)
    return None if found is None else len(found)
