"""The database: a pool that survives a restart of Postgres, and transactions that mean it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from resilience.plaza.errors import NotSafeElsewhere

NOT_REPLICATED = "canceling wait for synchronous replication"


class Connection(psycopg.AsyncConnection[DictRow]):
    """A connection that remembers a warning which means that a commit is not safe yet."""

    unconfirmed = False

    def note(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """Keep the one warning that must not be overheard."""
        if NOT_REPLICATED in (diagnostic.message_primary or ""):
            self.unconfirmed = True


class Database:
    """Connections for reading and transactions for writing."""

    def __init__(self, url: str, size: int = 10) -> None:
        self._pool = AsyncConnectionPool(
            url,
            connection_class=Connection,
            kwargs={"autocommit": True, "row_factory": dict_row},
            configure=_configure,
            check=AsyncConnectionPool.check_connection,
            min_size=2,
            max_size=size,
            timeout=3,
            reconnect_timeout=5,
            open=False,
        )

    async def open(self) -> None:
        """Start connecting; does not wait for the database to be there."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Give all connections back."""
        await self._pool.close(timeout=2)

    @asynccontextmanager
    async def read(self, within_s: float | None = None) -> AsyncIterator[Connection]:
        """A connection where each statement stands for itself."""
        async with self._pool.connection(within_s) as conn:
            yield conn

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """A transaction; raises when its commit was not confirmed where it had to be."""
        async with self._pool.connection() as conn:
            conn.unconfirmed = False
            async with conn.transaction():
                yield conn
            if conn.unconfirmed:
                raise NotSafeElsewhere("The commit was not confirmed by the standby.")


async def one(conn: Connection, sql: LiteralString, *args: Any) -> DictRow | None:
    """The first row, if any."""
    cursor = await conn.execute(sql, args)
    return await cursor.fetchone()


async def rows(conn: Connection, sql: LiteralString, *args: Any) -> list[DictRow]:
    """All rows."""
    cursor = await conn.execute(sql, args)
    return await cursor.fetchall()


async def _configure(conn: Connection) -> None:
    conn.add_notice_handler(conn.note)
