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

AT_ONCE = 100
AGAIN_S = 10.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Table:
    """Where texts are in clear, whose they are, and how a row is kept sealed."""

    read: LiteralString
    write: LiteralString


TABLES: dict[str, Table] = {
    "statuses": Table(
        "SELECT id, account_id AS owner, ARRAY[text, spoiler_text] AS texts FROM statuses "
        "WHERE sealed IS NULL AND id > %s ORDER BY id LIMIT %s FOR NO KEY UPDATE",
        "UPDATE statuses SET sealed = %s, text = '', spoiler_text = '' WHERE id = %s",
    ),
    "status_edits": Table(
        "SELECT e.id, s.account_id AS owner, ARRAY[e.text, e.spoiler_text] AS texts FROM status_edits e "
        "JOIN statuses s ON s.id = e.status_id WHERE e.sealed IS NULL AND e.id > %s ORDER BY e.id LIMIT %s FOR NO KEY UPDATE OF e",
        "UPDATE status_edits SET sealed = %s, text = '', spoiler_text = '' WHERE id = %s",
    ),
    "media": Table(
        "SELECT id, account_id AS owner, ARRAY[description] AS texts FROM media "
        "WHERE sealed IS NULL AND description <> '' AND id > %s ORDER BY id LIMIT %s FOR NO KEY UPDATE",
        "UPDATE media SET sealed = %s, description = '' WHERE id = %s",
    ),
    "accounts": Table(
        "SELECT id, id AS owner, ARRAY[display_name, note, fields::text] AS texts FROM accounts WHERE sealed IS NULL "
        "AND (display_name <> '' OR note <> '' OR fields <> '[]') AND id > %s ORDER BY id LIMIT %s FOR NO KEY UPDATE",
        "UPDATE accounts SET sealed = %s, display_name = '', note = '', fields = '[]' WHERE id = %s",
    ),
    "reports": Table(
        "SELECT id, account_id AS owner, ARRAY[comment] AS texts FROM reports WHERE sealed IS NULL "
        "AND comment <> '' AND account_id IS NOT NULL AND id > %s ORDER BY id LIMIT %s FOR NO KEY UPDATE",
        "UPDATE reports SET sealed = %s, comment = '' WHERE id = %s",
    ),
    "appeals": Table(
        "SELECT id, account_id AS owner, ARRAY[text] AS texts FROM appeals "
        "WHERE sealed IS NULL AND id > %s ORDER BY id LIMIT %s FOR NO KEY UPDATE",
        "UPDATE appeals SET sealed = %s, text = '' WHERE id = %s",
    ),
}


class Sealer:
    """Goes on where it stopped, until nothing is in clear."""

    def __init__(self, db: Database, gate: Gate) -> None:
        self._db = db
        self._gate = gate

    async def keep(self) -> None:
        """Seal as long as there is something; rest as long as each step took."""
        busy = True
        while busy:
            began = time.monotonic()
            try:
                if self._gate.why_closed is None:
                    busy = await self.step()
                rest = max(0.01, time.monotonic() - began) if self._gate.why_closed is None else AGAIN_S / 10
            except (psycopg.Error, NotSafeElsewhere, Refused, OSError) as error:
                log.warning("texts not sealed", why=str(error).strip()[:200])
                rest = AGAIN_S
            await asyncio.sleep(rest)

    async def step(self) -> bool:
        """The next few rows; False when no table is left."""
        async with self._db.write() as conn:
            # What a crash undoes is done again; nobody who writes waits for this commit's copies.
            await conn.execute("SET LOCAL synchronous_commit = off")
            found = await one(conn, "SELECT name, after FROM unsealed ORDER BY name LIMIT 1 FOR UPDATE")
            if found is None:
                return False
            last = await _seal(conn, found["name"], found["after"])
            if last is not None:
                await conn.execute("UPDATE unsealed SET after = %s WHERE name = %s", (last, found["name"]))
                return True
            await conn.execute("DELETE FROM unsealed WHERE name = %s", (found["name"],))
        async with self._db.read() as conn:
            # What Postgres knows of the commonest values is in a table that every copy has.
            await conn.execute(b"ANALYZE " + found["name"].encode())
        log.info("sealed", table=found["name"])
        return True


async def _seal(conn: Connection, name: str, after: int) -> int | None:
    """Seal some rows; the last one's id, None when there are no more."""
    table = TABLES[name]
    found = await rows(conn, table.read, after, AT_ONCE)
    for row in found:
        sealed = await persons.seal(conn, row["owner"], f"{name}/{row['id']}", *row["texts"])
        await conn.execute(table.write, (sealed, row["id"]))
    return found[-1]["id"] if found else None
