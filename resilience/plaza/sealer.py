"""Sealing what was written before people had keys: table by table, a few rows at a time, beside the traffic."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import LiteralString

import psycopg
import structlog

from resilience.plaza import persons
from resilience.plaza.db import Connection, Database, one, rows
from resilience.plaza.errors import NotSafeElsewhere, Refused
from resilience.plaza.gate import Gate
from resilience.plaza.persons import NoKey

AT_ONCE = 100
SOON_S, AGAIN_S, LATER_S = 1.0, 10.0, 60.0
SPARE = persons.FEWEST // 2
"""So many keys are left to those who write now."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Table:
    """Where texts are in clear (`t`), whose they are, and how a row is kept sealed."""

    read: LiteralString
    write: LiteralString

    @property
    def next(self) -> LiteralString:
        """The next few rows."""
        return self.read + " AND t.id > %s ORDER BY t.id LIMIT %s FOR NO KEY UPDATE OF t"

    @property
    def count(self) -> LiteralString:
        """How many rows there are."""
        return "SELECT count(*) FROM (" + self.read + ") AS found"


TABLES: dict[str, Table] = {
    "statuses": Table(
        "SELECT t.id, t.account_id AS owner, ARRAY[t.text, t.spoiler_text] AS texts FROM statuses t WHERE t.sealed IS NULL",
        "UPDATE statuses SET sealed = %s, text = '', spoiler_text = '' WHERE id = %s",
    ),
    "status_edits": Table(
        "SELECT t.id, s.account_id AS owner, ARRAY[t.text, t.spoiler_text] AS texts FROM status_edits t "
        "JOIN statuses s ON s.id = t.status_id WHERE t.sealed IS NULL",
        "UPDATE status_edits SET sealed = %s, text = '', spoiler_text = '' WHERE id = %s",
    ),
    "media": Table(
        "SELECT t.id, t.account_id AS owner, ARRAY[t.description] AS texts FROM media t "
        "WHERE t.sealed IS NULL AND t.description <> ''",
        "UPDATE media SET sealed = %s, description = '' WHERE id = %s",
    ),
    "accounts": Table(
        "SELECT t.id, t.id AS owner, ARRAY[t.display_name, t.note, t.fields::text] AS texts FROM accounts t "
        "WHERE t.sealed IS NULL AND (t.display_name <> '' OR t.note <> '' OR t.fields <> '[]')",
        "UPDATE accounts SET sealed = %s, display_name = '', note = '', fields = '[]' WHERE id = %s",
    ),
    "reports": Table(
        "SELECT t.id, t.account_id AS owner, ARRAY[t.comment] AS texts FROM reports t "
        "WHERE t.sealed IS NULL AND t.comment <> '' AND t.account_id IS NOT NULL",
        "UPDATE reports SET sealed = %s, comment = '' WHERE id = %s",
    ),
    "appeals": Table(
        "SELECT t.id, t.account_id AS owner, ARRAY[t.text] AS texts FROM appeals t WHERE t.sealed IS NULL",
        "UPDATE appeals SET sealed = %s, text = '' WHERE id = %s",
    ),
}


class Sealer:
    """Goes on where it stopped, until nothing is in clear; whose key is not here is passed over, and tried again later."""

    def __init__(self, db: Database, gate: Gate) -> None:
        self._db = db
        self._gate = gate
        self._passed: set[str] = set()
        self.done = False
        """Whether nothing is in clear any more."""

    async def keep(self) -> None:
        """Seal as long as there is something; rest as long as each step took."""
        while True:
            rest = await self._try()
            if rest is None:
                self.done = True
                return
            await asyncio.sleep(rest)

    async def _try(self) -> float | None:
        """One step; how long to rest after it, None when nothing is left."""
        if self._gate.why_closed is not None:
            return SOON_S
        began = time.monotonic()
        try:
            if await self.step():
                return max(0.01, time.monotonic() - began)
        except NoKey:
            return SOON_S
        except (psycopg.Error, NotSafeElsewhere, OSError) as error:
            log.warning("texts not sealed", why=str(error).strip()[:200])
            return AGAIN_S
        return self._next_round()

    def _next_round(self) -> float | None:
        if not self._passed:
            return None
        log.warning("texts left in clear, their owners' keys are not here", tables=sorted(self._passed))
        self._passed.clear()
        return LATER_S

    async def step(self) -> bool:
        """The next few rows; False when no table is left in this round."""
        async with self._db.work() as conn:
            # What a crash undoes is done again; nobody who writes waits for this commit's copies.
            await conn.execute("SET LOCAL synchronous_commit = off")
            found = await one(conn, NEXT, list(self._passed))
            if found is None:
                return False
            name = found["name"]
            last = await _seal(conn, name, found["after"])
            left = await one(conn, TABLES[name].next, 0, 1) if last is None else None
            after = last if left is None else left["id"] - 1
            if after is not None:
                await conn.execute("UPDATE unsealed SET after = %s WHERE name = %s", (after, name))
            else:
                await conn.execute("DELETE FROM unsealed WHERE name = %s", (name,))
        if left is not None:
            self._passed.add(name)
        if after is None:
            await self._counted(name)
        return True

    async def _counted(self, name: str) -> None:
        """What Postgres knows of the commonest values is in a table that every copy has."""
        async with self._db.read() as conn:
            await conn.execute(b"ANALYZE " + name.encode())
        log.info("sealed", table=name)


NEXT: LiteralString = "SELECT name, after FROM unsealed WHERE name <> ALL(%s) ORDER BY name LIMIT 1 FOR UPDATE"


async def _seal(conn: Connection, name: str, after: int) -> int | None:
    """Seal some rows, as far as there are keys; the last one's id, None when there are no more."""
    last: int | None = None
    for row in await rows(conn, TABLES[name].next, after, AT_ONCE):
        try:
            key = await persons.key_of(conn, row["owner"], spare=SPARE, wait=False)
            sealed = conn.keys.seal(key, f"{name}/{row['id']}", *row["texts"])
        except NoKey:
            if last is None:
                raise
            return last
        except Refused:
            pass
        else:
            await conn.execute(TABLES[name].write, (sealed, row["id"]))
        last = row["id"]
    return last
