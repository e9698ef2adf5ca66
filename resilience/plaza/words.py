"""Words that search finds posts and people by: in tables that Postgres never logs, so that no copy has them.

They are empty after a crash and at a new site; then they are read from the sealed texts again, newest first, beside the traffic.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg
import structlog
from psycopg.rows import DictRow

from resilience.plaza.accounts import Account
from resilience.plaza.db import Connection, Database, one, rows
from resilience.plaza.errors import NotSafeElsewhere
from resilience.plaza.gate import Gate
from resilience.plaza.keys import Keys

AT_ONCE = 500
EVERY_S = 2.0
TOP = (1 << 63) - 1
NEW = "Search is being built anew. Until that is done, older posts and names are not found."

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Source:
    """A table whose words are kept, and how to read and put them."""

    name: str
    read: LiteralString
    put: LiteralString
    strays: LiteralString
    searched: int
    """So many of its texts, from the first."""


PUT_POST: LiteralString = """
INSERT INTO search_posts (id, words) VALUES (%s, to_tsvector('simple', %s)) ON CONFLICT (id) DO UPDATE SET words = excluded.words
"""
PUT_PERSON: LiteralString = """
INSERT INTO search_people (id, words) VALUES (%s, to_tsvector('simple', %s)) ON CONFLICT (id) DO UPDATE SET words = excluded.words
"""
SOURCES = (
    Source(
        "statuses",
        "SELECT s.id, a.key_sha256, s.sealed, s.text || ' ' || s.spoiler_text AS clear FROM statuses s "
        "JOIN accounts a ON a.id = s.account_id WHERE s.id < %s ORDER BY s.id DESC LIMIT %s",
        "INSERT INTO search_posts (id, words) SELECT id, to_tsvector('simple', text) "
        "FROM unnest(%s::bigint[], %s::text[]) AS given (id, text) ON CONFLICT DO NOTHING",
        "DELETE FROM search_posts p WHERE NOT EXISTS (SELECT FROM statuses WHERE id = p.id)",
        2,
    ),
    Source(
        "accounts",
        "SELECT id, key_sha256, sealed, display_name AS clear FROM accounts WHERE id < %s "
        "AND (sealed IS NOT NULL OR display_name <> '') ORDER BY id DESC LIMIT %s",
        "INSERT INTO search_people (id, words) SELECT id, to_tsvector('simple', text) "
        "FROM unnest(%s::bigint[], %s::text[]) AS given (id, text) ON CONFLICT DO NOTHING",
        "DELETE FROM search_people p WHERE NOT EXISTS (SELECT FROM accounts WHERE id = p.id)",
        1,
    ),
)


async def put_post(conn: Connection, post_id: int, text: str, spoiler_text: str) -> None:
    """From now on a post is found by these words."""
    await conn.execute(PUT_POST, (post_id, f"{text} {spoiler_text}"))


async def put_person(conn: Connection, one: Account) -> None:
    """From now on somebody is found by the words in their name."""
    await conn.execute(PUT_PERSON, (one.id, one.display_name))


async def are_complete(conn: Connection) -> bool:
    """Whether everything that is there can be found."""
    row = await one(conn, "SELECT count(*)::int AS n FROM search_filled WHERE below = 0")
    return row is not None and row["n"] == len(SOURCES)


class Filler:
    """Fills the words again, whenever Postgres has emptied them."""

    def __init__(self, db: Database, gate: Gate, keys: Keys) -> None:
        self._db = db
        self._gate = gate
        self._keys = keys

    async def keep(self) -> None:
        """Look as long as the server runs; rest as long as each step took."""
        while True:
            began, rest = time.monotonic(), EVERY_S
            try:
                if self._gate.why_closed is None and await self.step():
                    rest = time.monotonic() - began
            except (psycopg.Error, NotSafeElsewhere, OSError) as error:
                log.warning("words not read", why=str(error).strip()[:200])
            await asyncio.sleep(rest)

    async def step(self) -> bool:
        """The next few of what lacks words; True when there may be more."""
        async with self._db.work() as conn:
            await conn.execute("SET LOCAL synchronous_commit = off")
            done = {row["name"]: row["below"] for row in await rows(conn, "SELECT name, below FROM search_filled")}
            for source in SOURCES:
                if below := done.get(source.name, TOP):
                    await self._fill(conn, source, below)
                    return True
        return False

    async def _fill(self, conn: Connection, source: Source, below: int) -> None:
        found = await rows(conn, source.read, below, AT_ONCE)
        texts = await asyncio.to_thread(self._texts, source, found)
        await conn.execute(source.put, (list(texts), list(texts.values())))
        last = min(texts, default=0) if len(found) == AT_ONCE else 0
        if not last:
            await conn.execute(source.strays)
        await conn.execute(FILLED, (source.name, last))

    def _texts(self, source: Source, found: Sequence[DictRow]) -> dict[int, str]:
        """What each row says, in clear; nothing for what opens for nobody."""
        told: dict[int, str] = {}
        for row in found:
            told[row["id"]] = row["clear"]
            if row["sealed"] is not None:
                opened = self._keys.open(row["key_sha256"], f"{source.name}/{row['id']}", row["sealed"]) or []
                told[row["id"]] = " ".join(opened[: source.searched])
        return told


FILLED: LiteralString = """
INSERT INTO search_filled (name, below) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET below = excluded.below
"""
