"""Whose key seals what: a person's first text takes one of the keys that were made before, which the vaults hold by then."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Collection, Sequence
from typing import LiteralString

import psycopg
import structlog

from resilience.plaza.db import Connection, Database, one, rows
from resilience.plaza.errors import NotSafeElsewhere, PlazaError
from resilience.plaza.gate import Gate
from resilience.plaza.ids import new_id
from resilience.plaza.keys import GONE, MIME, SIZE, Keys

FEWEST, MOST = 32, 2000
"""Keys that wait for somebody: as many as were taken lately, so that each waits about as long as that."""
LATELY_S = 120.0
AT_ONCE = 32
EVERY_S = 1.0

log = structlog.get_logger()


async def seal(conn: Connection, account_id: int, row: str, *texts: str) -> bytes:
    """What somebody wrote, sealed with their key for one row (`table/id`)."""
    return conn.keys.seal(await key_of(conn, account_id), row, *texts)


def unsealed(conn: Connection, key: str | None, row: str, sealed: bytes | None, *clear: str) -> Sequence[str]:
    """The texts of a row: sealed, or in clear as they were before there were keys; where they open for nobody, it says so."""
    if sealed is None:
        return clear
    return conn.keys.open(key, row, sealed) or (GONE, *("" for _ in clear[1:]))


async def key_of(conn: Connection, account_id: int) -> str:
    """The name of somebody's key; whoever has none yet is given one, once."""
    found = await one(conn, "SELECT key_sha256 FROM accounts WHERE id = %s", account_id)
    if found and found["key_sha256"]:
        return str(found["key_sha256"])
    found = await one(conn, "SELECT key_sha256 FROM accounts WHERE id = %s FOR NO KEY UPDATE", account_id)
    if found and found["key_sha256"]:
        return str(found["key_sha256"])
    name = await _oldest(conn)
    if name is None:
        name = await asyncio.to_thread(conn.keys.make)
    await conn.execute(NAME, {"id": new_id(), "account": account_id, "name": name, "mime": MIME, "size": SIZE})
    await conn.execute("UPDATE accounts SET key_sha256 = %s WHERE id = %s", (name, account_id))
    return name


async def keys_of(conn: Connection, account_ids: Collection[int]) -> dict[int, str | None]:
    """The names of these people's keys."""
    if not account_ids:
        return {}
    found = await rows(conn, "SELECT id, key_sha256 FROM accounts WHERE id = ANY(%s)", list(account_ids))
    return {row["id"]: row["key_sha256"] for row in found}


NAME: LiteralString = """
INSERT INTO media (id, account_id, sha256, mime, bytes, width, height, purpose)
VALUES (%(id)s, %(account)s, %(name)s, %(mime)s, %(size)s, 0, 0, 'key')
"""
"""A key is one more medium: what counts, ships, fetches or erases pictures does the same with it."""
TAKE: LiteralString = """
DELETE FROM ready_keys WHERE id = (SELECT id FROM ready_keys ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING sha256
"""


async def _oldest(conn: Connection) -> str | None:
    """The key that waits longest and is here; those that another site made and took with it are forgotten."""
    while found := await one(conn, TAKE):
        if conn.keys.has(found["sha256"]):
            return str(found["sha256"])
    return None


class Stock:
    """Keeps keys ready, so that one is minutes old, and in the vaults, when the first text needs it."""

    def __init__(self, db: Database, gate: Gate, keys: Keys) -> None:
        self._db = db
        self._gate = gate
        self._keys = keys
        self._left: int | None = None
        self._taken: deque[tuple[float, int]] = deque()

    async def keep(self) -> None:
        """Make keys as long as the server runs."""
        while True:
            try:
                busy = self._gate.why_closed is None and await self._fill()
            except (psycopg.Error, NotSafeElsewhere, OSError) as error:
                log.warning("no keys made", why=str(error).strip()[:200])
                busy = False
            if not busy:
                await asyncio.sleep(EVERY_S)

    async def _fill(self) -> bool:
        """Make some of those that are lacking; True when more are."""
        async with self._db.read() as conn:
            row = await one(conn, "SELECT count(*)::int AS n FROM ready_keys")
        left = int(row["n"]) if row else 0
        lacking = self._wanted(left) - left
        made = await asyncio.to_thread(lambda: [self._keys.make() for _ in range(min(lacking, AT_ONCE))])
        if made:
            async with self._db.write() as conn:
                await conn.execute("SET LOCAL synchronous_commit = off")
                async with conn.cursor() as cursor:
                    await cursor.executemany(ADD, [(new_id(), name) for name in made])
        self._left = left + len(made)
        return lacking > len(made)

    def _wanted(self, left: int) -> int:
        now = time.monotonic()
        if self._left is not None and left < self._left:
            self._taken.append((now, self._left - left))
        while self._taken and self._taken[0][0] < now - LATELY_S:
            self._taken.popleft()
        return min(MOST, max(FEWEST, sum(count for _, count in self._taken)))


async def renew(conn: Connection, username: str) -> str:
    """Give up a key that is nowhere any more, so that its owner can write again; what it sealed is gone for good."""
    what = f"The key of '{username}' was not given up"
    sql: LiteralString = "SELECT id, key_sha256 FROM accounts WHERE lower(username) = lower(%s) FOR NO KEY UPDATE"
    found = await one(conn, sql, username)
    if found is None or found["key_sha256"] is None:
        raise PlazaError(what, "there is no such person, or they have none", "Look at the name.")
    if conn.keys.has(found["key_sha256"]):
        raise PlazaError(what, "it is here", "To destroy what they wrote, they erase their account.")
    await conn.execute("DELETE FROM media WHERE account_id = %s AND purpose = 'key'", (found["id"],))
    await conn.execute("UPDATE accounts SET key_sha256 = NULL, sealed = NULL WHERE id = %s", (found["id"],))
    return str(found["key_sha256"])


ADD: LiteralString = "INSERT INTO ready_keys (id, sha256) VALUES (%s, %s)"
