"""What would be lost if this host were gone now: everything past the position that k vaults hold."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

from resilience.replication import commits, lsn, sessions
from resilience.replication.commits import Commit
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

    What ship said last is as old as ship is silent, and Postgres may have written what never came to it: Postgres itself
    is asked, and its WAL. Where neither can tell, nobody knows.
    """
    lacking = sorted(int(vault["backlog_objects"]) for vault in facts["vaults"].values() if not vault.get("apart"))
    k, confirmed = config.record.k, lsn.parse(facts["confirmed_lsn"])
    end, silent = _end(config), max(0.0, time.time() - facts["at"])
    if end is None and silent > FRESH:
        return {"seconds": None, "bytes": None, "transactions": None, "objects": None}
    unheard = bool(facts.get("postgres_error")) or (end is not None and end.position > lsn.parse(facts["server_lsn"]))
    told = None if end is None and unheard else int(facts["lag_bytes"])
    lost = told if end is None else max(0, end.position - confirmed)
    late = _commits(config, confirmed, end) if end and confirmed else None
    said = round(facts["lag_seconds"] + silent, 3)
    return {
        "seconds": 0.0 if lost == 0 or late == [] else _age(late, said, unheard=unheard),
        "bytes": lost,
        "transactions": None if late is None else len(late),
        "objects": lacking[k - 1] if len(lacking) >= k else None,
    }


def _age(late: Sequence[Commit] | None, said: float, *, unheard: bool) -> float | None:
    """What ship said, or the age of the oldest commit that is late where that is more: it may never have come to ship."""
    if late is None:
        return None if unheard else said
    return max(said, round(time.time() - late[0].at, 3))


def _end(config: Config) -> End | None:
    """None where Postgres does not answer."""
    try:
        with sessions.superuser(config.postgres.dsn, timeout=2) as db:
            row = db.execute(END).fetchone()
    except psycopg.Error:
        return None
    return None if row is None else End(lsn.parse(row[0]), int(row[1]))


def _commits(config: Config, confirmed: int, end: End) -> list[Commit] | None:
    """Commits past a position, from the WAL itself."""
    if end.position <= confirmed:
        return []
    return commits.between(config, confirmed, end.position, end.timeline)
