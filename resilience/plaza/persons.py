"""Whose key seals what: a person's first text takes one of the keys that were made before, which enough vaults hold by then.

A key is one person's for ever: it is taken and named in a transaction of its own, before anything is sealed with it, and the keys
that wait are in a table that no log and no copy has, so that no crash, restore or failover offers one again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import LiteralString

import psycopg
import structlog

from resilience.plaza.db import Connection, Database, one, rows
from resilience.plaza.errors import PlazaError, Refused, not_found
from resilience.plaza.gate import Gate
from resilience.plaza.ids import new_id
from resilience.plaza.keys import GONE, MIME, SIZE, Keys
from resilience.plaza.store import KEY

FEWEST, MOST = 64, 2000
"""Keys that wait for somebody: as many as were taken lately, so that nobody waits for one."""
LATELY_S = 120.0
AT_ONCE = 32
EVERY_S, SOON_S, POLL_S = 1.0, 0.25, 0.05

log = structlog.get_logger()


class NoKey(Refused):
    """Somebody's first text, and no key that is safe elsewhere."""

    def __init__(self) -> None:
        super().__init__(
            503, "What you write can't be kept right now: no key for it is safe elsewhere yet. Try again in a moment."
        )


async def seal(conn: Connection, account_id: int, row: str, *texts: str) -> bytes:
    """What somebody wrote, sealed with their key for one row (`table/id`)."""
    return conn.keys.seal(await key_of(conn, account_id), row, *texts)


def unsealed(conn: Connection, key: str | None, row: str, sealed: bytes | None, *clear: str) -> Sequence[str]:
    """The texts of a row: sealed, or in clear as they were before there were keys; where they open for nobody, it says so."""
    if sealed is None:
        return clear
    return conn.keys.open(key, row, sealed) or (GONE, *("" for _ in clear[1:]))


async def key_of(conn: Connection, account_id: int, *, spare: int = 0, wait: bool = True) -> str:
    """The name of somebody's key; whoever has none yet is given one, once, unless only so many are left."""
    found = await one(conn, "SELECT key_sha256 FROM accounts WHERE id = %s", account_id)
    if found and found["key_sha256"]:
        return str(found["key_sha256"])
    found = await one(conn, "SELECT key_sha256 FROM accounts WHERE id = %s FOR NO KEY UPDATE", account_id)
    if found is None:
        raise not_found()
    name = found["key_sha256"] or await _named(conn, account_id) or await _taken(conn.db, account_id, spare, wait=wait)
    await conn.execute("UPDATE accounts SET key_sha256 = %s WHERE id = %s", (name, account_id))
    return str(name)


async def keys_of(conn: Connection, account_ids: Collection[int]) -> dict[int, str | None]:
    """The names of these people's keys."""
    if not account_ids:
        return {}
    found = await rows(conn, "SELECT id, key_sha256 FROM accounts WHERE id = ANY(%s)", list(account_ids))
    return {row["id"]: row["key_sha256"] for row in found}


async def _named(conn: Connection, account_id: int) -> str | None:
    """The key that somebody took for a text which was not kept then."""
    row = await one(conn, "SELECT sha256 FROM media WHERE account_id = %s AND purpose = 'key'", account_id)
    return str(row["sha256"]) if row else None


async def _taken(db: Database, account_id: int, spare: int, *, wait: bool) -> str:
    """A key that is theirs from now on; not many wait for one at once, so that others are served meanwhile."""
    name = await _take(db, account_id, spare)
    if name is None and wait and not db.patient.locked():
        deadline = time.monotonic() + db.wait_s
        async with db.patient:
            while name is None and time.monotonic() < deadline:
                await asyncio.sleep(POLL_S)
                name = await _take(db, account_id, spare)
    if name is None:
        raise NoKey
    return name


async def _take(db: Database, account_id: int, spare: int) -> str | None:
    """The key that waits longest, named as this person's; those whose file is not here are forgotten."""
    async with db.apart() as conn:
        while found := await one(conn, TAKE, spare):
            name = str(found["sha256"])
            if conn.keys.cipher(name) is not None:
                values = {"id": new_id(), "account": account_id, "name": name, "mime": MIME, "size": SIZE}
                await conn.execute(NAME, values)
                return name
    return None


TAKE: LiteralString = """
DELETE FROM ready_keys WHERE id = (SELECT id FROM ready_keys ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
    AND (SELECT count(*) FROM ready_keys) > %s RETURNING sha256
"""
NAME: LiteralString = """
INSERT INTO media (id, account_id, sha256, mime, bytes, width, height, purpose)
VALUES (%(id)s, %(account)s, %(name)s, %(mime)s, %(size)s, 0, 0, 'key')
"""
"""A key is one more medium: what counts, fetches or erases pictures does the same with it."""


class Stock:
    """Keeps keys ready: made before somebody needs one, and ready once enough vaults hold them."""

    def __init__(self, db: Database, gate: Gate, keys: Keys, held: Path) -> None:
        self._db = db
        self._gate = gate
        self._keys = keys
        self._held = held / KEY
        self._made: list[str] = []
        self._left: int | None = None
        self._lately: deque[tuple[float, int]] = deque()

    @property
    def ready(self) -> int:
        """Keys that wait for somebody, when last looked."""
        return self._left or 0

    @property
    def not_held(self) -> int:
        """Keys that were made, and that too few vaults hold yet."""
        return len(self._made)

    async def keep(self) -> None:
        """Make keys as long as the server runs."""
        while True:
            try:
                if self._gate.why_closed is None:
                    await self.fill()
            except (psycopg.Error, OSError) as error:
                log.warning("no keys made", why=str(error).strip()[:200])
            await asyncio.sleep(SOON_S if self._made else EVERY_S)

    async def fill(self) -> None:
        """Make some of those that are lacking, and offer those that are held; none where they could not be offered."""
        async with self._db.apart() as conn:
            row = await one(conn, "SELECT current_setting('transaction_read_only') AS is_on")
            if row is None or row["is_on"] == "on":
                return
            row = await one(conn, "SELECT count(*)::int AS n FROM ready_keys")
        left = int(row["n"]) if row else 0
        await asyncio.to_thread(self._make, self._wanted(left) - left - len(self._made))
        held = [name for name in self._made if (self._held / name).exists()]
        if held:
            await self._offer(held)
        self._left = left + len(held)

    def _make(self, lacking: int) -> None:
        for _ in range(min(lacking, AT_ONCE)):
            self._made.append(self._keys.make())

    async def _offer(self, held: Sequence[str]) -> None:
        """From now on people may take these; again is no error, where nobody knows what became of the last time."""
        async with self._db.apart() as conn, conn.cursor() as cursor:
            await cursor.executemany(OFFER, [{"id": new_id(), "name": name} for name in held])
        self._made = [name for name in self._made if name not in held]

    def _wanted(self, left: int) -> int:
        now = time.monotonic()
        if self._left is not None and left < self._left:
            self._lately.append((now, self._left - left))
        while self._lately and self._lately[0][0] < now - LATELY_S:
            self._lately.popleft()
        return min(MOST, max(FEWEST, sum(count for _, count in self._lately)))


OFFER: LiteralString = """
INSERT INTO ready_keys (id, sha256) SELECT %(id)s, %(name)s
WHERE NOT EXISTS (SELECT FROM media WHERE sha256 = %(name)s) ON CONFLICT DO NOTHING
"""


async def renew(conn: Connection, username: str) -> str:
    """Give up a key that is nowhere any more, so that its owner can write again; what it sealed is gone for good.

    Its row stays, so that the entry which erases the account names it, too: it may be somewhere after all.
    """
    what = f"The key of '{username}' was not given up"
    sql: LiteralString = "SELECT id, key_sha256 FROM accounts WHERE lower(username) = lower(%s) FOR NO KEY UPDATE"
    found = await one(conn, sql, username)
    if found is None or found["key_sha256"] is None:
        raise PlazaError(what, "there is no such person, or they have none", "Look at the name.")
    name = str(found["key_sha256"])
    ring = await one(conn, RING, found["id"], name)
    if conn.keys.has(name) or (ring is not None and conn.keys.bring_back(name, ring["sha256"], ring["bytes"])):
        raise PlazaError(what, "it is here", "To destroy what they wrote, they erase their account.")
    await conn.execute(
        "UPDATE media SET purpose = 'lost key' WHERE account_id = %s AND purpose = 'key'", (found["id"],)
    )
    await conn.execute("UPDATE accounts SET key_sha256 = NULL, sealed = NULL WHERE id = %s", (found["id"],))
    return name


RING: LiteralString = (
    "SELECT r.sha256, r.bytes FROM media k JOIN media r ON r.id = k.ring WHERE k.account_id = %s AND k.sha256 = %s"
)
