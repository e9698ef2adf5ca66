"""Facts: what is here, counted and checked, so that a restore can be believed."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString

import psycopg

from resilience.plaza import ledger as chain
from resilience.plaza.ledger import Entry, Ledger
from resilience.plaza.sealer import TABLES
from resilience.plaza.store import Store

THREADS = 8


def gather(url: str, ledger: Ledger, store: Store) -> dict[str, Any]:
    """Users, posts, every picture that a row names, the ledger, and whether it holds."""
    reading = ledger.read()
    with psycopg.connect(url, connect_timeout=5) as conn, ThreadPoolExecutor(max_workers=1) as aside:
        shas: dict[str, bool] = dict(conn.execute(FILES).fetchall())
        looked = aside.submit(check_pictures, store, shas)  # it reads all of them; rows are counted meanwhile
        users = _number(conn, "SELECT count(*) FROM accounts")
        posts = _number(conn, "SELECT count(*) FROM statuses")
        in_clear = sum(_number(conn, TABLES[row[0]].count) for row in conn.execute("SELECT name FROM unsealed"))
        keys = _number(conn, "SELECT count(*) FROM media WHERE purpose = 'key'")
        resurrected = _resurrected(conn, reading.entries)
        missing, corrupt = looked.result()
    taken_down = sum(1 for entry in reading.entries if entry.action == chain.TAKEDOWN)
    removed = sum(1 for entry in reading.entries if entry.removes)
    return {
        "users": users,
        "posts": posts,
        "in_clear": in_clear,
        "media": {
            "objects": len(shas),
            "keys": keys,
            "missing": missing,
            "keys_missing": sum(shas[name] for name in missing),
            "corrupt": corrupt,
        },
        "ledger": {
            "entries": len(reading.entries),
            "head": reading.head,
            "broken": str(reading.broken) if reading.broken else None,
        },
        "takedowns": {
            "issued": taken_down,
            "erasures": removed - taken_down,
            "resurrected": resurrected,
        },
    }


def check_pictures(store: Store, shas: Iterable[str]) -> tuple[list[str], list[str]]:
    """Which pictures are missing, and which are not what their name says."""
    names = sorted(shas)
    with ThreadPoolExecutor(THREADS) as pool:
        states = list(pool.map(store.check, names))
    missing = [name for name, state in zip(names, states, strict=True) if state == "missing"]
    corrupt = [name for name, state in zip(names, states, strict=True) if state == "corrupt"]
    return missing, corrupt


def _resurrected(conn: psycopg.Connection[tuple[Any, ...]], entries: list[Entry]) -> list[str]:
    """Posts that can be read although the ledger removed or hid them or their author."""
    removed = [entry.status_id for entry in entries if entry.removes and entry.status_id is not None]
    erased = [e.account_id for e in entries if e.action == chain.ERASE_ACCOUNT]
    hidden = [e.status_id for e, on in chain.in_force(entries, chain.HIDE, chain.UNHIDE) if on]
    suspended = [e.account_id for e, on in chain.in_force(entries, chain.SUSPEND, chain.UNSUSPEND) if on]
    found = conn.execute(RESURRECTED, (removed, erased, hidden, suspended))
    return [str(row[0]) for row in found]


RESURRECTED: LiteralString = """
SELECT s.id FROM statuses s JOIN accounts a ON a.id = s.account_id
WHERE s.id = ANY(%s) OR s.account_id = ANY(%s)
    OR (s.id = ANY(%s) AND s.hidden_at IS NULL)
    OR (s.account_id = ANY(%s) AND a.suspended_at IS NULL)
ORDER BY s.id
"""


FILES: LiteralString = (
    "SELECT sha256, bool_or(purpose IN ('key', 'keyring')) FROM media WHERE purpose <> 'lost key' GROUP BY sha256"
)
"""What must be here, and whether it is a key or a keyring."""


def _number(conn: psycopg.Connection[tuple[Any, ...]], sql: LiteralString) -> int:
    row = conn.execute(sql).fetchone()
    return int(row[0]) if row else 0
