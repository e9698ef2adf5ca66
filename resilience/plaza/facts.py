"""Facts: what is here, counted and checked, so that a restore can be believed."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString

import psycopg

from resilience.plaza import ledger as chain
from resilience.plaza.ledger import Entry, Ledger
from resilience.plaza.store import Store

THREADS = 8


def gather(url: str, ledger: Ledger, store: Store) -> dict[str, Any]:
    """Users, posts, every picture that a row names, the ledger, and whether it holds."""
    reading = ledger.read()
    with psycopg.connect(url, connect_timeout=5) as conn:
        users = _number(conn, "SELECT count(*) FROM accounts")
        posts = _number(conn, "SELECT count(*) FROM statuses")
        shas = [row[0] for row in conn.execute("SELECT DISTINCT sha256 FROM media")]
        resurrected = _resurrected(conn, reading.entries)
    missing, corrupt = check_pictures(store, shas)
    removed = [entry for entry in reading.entries if entry.action == chain.TAKEDOWN]
    return {
        "users": users,
        "posts": posts,
        "media": {"objects": len(shas), "missing": missing, "corrupt": corrupt},
        "ledger": {
            "entries": len(reading.entries),
            "head": reading.head,
            "broken": str(reading.broken) if reading.broken else None,
        },
        "takedowns": {
            "issued": len(removed),
            "erasures": len(reading.entries) - len(removed),
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
    """Posts that can still be read although the ledger removed them or their author."""
    statuses = [entry.status_id for entry in entries if entry.status_id is not None]
    authors = [e.account_id for e in entries if e.action == chain.ERASE_ACCOUNT]
    found = conn.execute(
        "SELECT id FROM statuses WHERE id = ANY(%s) OR account_id = ANY(%s) ORDER BY id",
        (statuses, authors),
    )
    return [str(row[0]) for row in found]


def _number(conn: psycopg.Connection[tuple[Any, ...]], sql: LiteralString) -> int:
    row = conn.execute(sql).fetchone()
    return int(row[0]) if row else 0
