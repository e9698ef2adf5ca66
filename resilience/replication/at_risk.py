"""What would be lost if this host were gone now: everything past the position that k vaults hold."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from typing import Any

import psycopg

from resilience.replication import lsn
from resilience.replication.config import Config

END = "SELECT pg_current_wal_flush_lsn()::text, timeline_id FROM pg_control_checkpoint()"


def at_risk(config: Config, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds, bytes, transactions and objects that fewer than k vaults hold; null for what can't be told."""
    lacking = sorted(int(vault["backlog_objects"]) for vault in facts["vaults"].values() if not vault.get("apart"))
    k = config.record.k
    return {
        "seconds": facts["lag_seconds"],
        "bytes": facts["lag_bytes"],
        "transactions": _transactions(config, lsn.parse(facts["confirmed_lsn"])),
        "objects": lacking[k - 1] if len(lacking) >= k else None,
    }


def _transactions(config: Config, confirmed: int) -> int | None:
    """Commits past a position, counted in the WAL itself."""
    try:
        with psycopg.connect(config.postgres.dsn, autocommit=True, connect_timeout=2) as db:
            row = db.execute(END).fetchone()
    except psycopg.Error:
        return None
    if row is None or not confirmed:
        return None
    if lsn.parse(row[0]) <= confirmed:
        return 0
    argv = [
        str(config.postgres.bin / "pg_waldump"),
        "--path",
        str(config.paths.pg / "pg_wal"),
        "--timeline",
        str(row[1]),
    ]
    argv += ["--rmgr", "Transaction", "--start", lsn.show(confirmed), "--end", row[0]]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if done.returncode and "could not find a valid record" not in done.stderr:
        return None
    return sum("desc: COMMIT" in line for line in done.stdout.splitlines())
