"""The database: a pool that survives a restart of Postgres, and transactions that mean it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg.abc import Params, QueryNoTemplate
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from resilience.plaza import lanes
from resilience.plaza.errors import NotSafeElsewhere

if TYPE_CHECKING:
    from resilience.plaza.keys import Keys

NOT_REPLICATED = "canceling wait for synchronous replication"
CHANGES = ("INSERT", "UPDATE", "DELETE")
TOLD = "SELECT pg_logical_emit_message(true, 'told', '')"
"""A record in the log that means nothing: with it a transaction that changed no row has a commit to wait for."""


class Connection(psycopg.AsyncConnection[DictRow]):
    """A connection that remembers a warning which means that a commit is not safe yet, and opens what rows hold sealed."""

    unconfirmed = False
    wrote = False
    """Whether this transaction changed a row, as far as seen: its commit then waits for the copies by itself."""
    keys: Keys
    db: Database

    async def execute(  # type: ignore[override]  # templates are in none of our statements
        self, query: QueryNoTemplate, params: Params | None = None, *, prepare: bool | None = None, binary: bool = False
    ) -> psycopg.AsyncCursor[DictRow]:
        """The same, and remember whether rows were changed."""
        cursor = await super().execute(query, params, prepare=prepare, binary=binary)
        if cursor.rowcount > 0 and (cursor.statusmessage or "").startswith(CHANGES):
            self.wrote = True
        return cursor

    def note(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """Keep the one warning that must not be overheard."""
        if NOT_REPLICATED in (diagnostic.message_primary or ""):
            self.unconfirmed = True


Configure = Callable[[Connection], Awaitable[None]]


class PoolFull(PoolTimeout):
    """The database is there, and every connection to it is at work."""


INSIDERS, OTHERS, APART = "inside", "others", "apart"
SIZES = {INSIDERS: 10, OTHERS: 6, APART: 2}
"""Connections. Two of the others' are the door's, so few who want to come in are served at once, and the rest wait."""
PLANNING = "SET jit = off; SET plan_cache_mode = force_generic_plan"
PATIENT = 6
"""So many insiders at once may keep a connection while they wait for something that is not the database's."""


class Database:
    """Connections for reading and transactions for writing; who isn't inside yet has a pool apart."""

    def __init__(self, url: str, keys: Keys, wait_s: float = 10) -> None:
        self.wait_s = wait_s
        self.patient = asyncio.Semaphore(PATIENT)
        self._keys = keys
        self._pools = {name: _pool(url, self._configure, size) for name, size in SIZES.items()}
        self._lent = dict.fromkeys(SIZES, 0)

    async def open(self) -> None:
        """Start connecting; does not wait for the database to be there."""
        for pool in self._pools.values():
            await pool.open(wait=False)

    async def close(self) -> None:
        """Give all connections back."""
        for pool in self._pools.values():
            await pool.close(timeout=2)

    def stats(self) -> dict[str, dict[str, int]]:
        """How each pool does."""
        return {name: pool.get_stats() for name, pool in self._pools.items()}

    @asynccontextmanager
    async def read(self, within_s: float | None = None) -> AsyncIterator[Connection]:
        """A connection where each statement stands for itself; PoolFull when none was free in time."""
        name = OTHERS if lanes.current.get() in (lanes.CLAIMED, lanes.LINE, lanes.OUTSIDE) else INSIDERS
        async with AsyncExitStack() as borrowed:
            try:
                conn = await borrowed.enter_async_context(self._pools[name].connection(within_s))
            except PoolTimeout as error:
                if self._lent[name] < SIZES[name]:
                    raise
                raise PoolFull(f"all {SIZES[name]} connections to the database are at work") from error
            self._lent[name] += 1
            borrowed.callback(self._give_back, name)
            yield conn

    def _give_back(self, name: str) -> None:
        self._lent[name] -= 1

    @asynccontextmanager
    async def write(self, *, safe: bool = False) -> AsyncIterator[Connection]:
        """A transaction that somebody is told of; raises when its commit was not confirmed where it had to be.

        Also where it changed nothing: what it found there already may be an earlier commit that nobody confirmed yet.

        `safe`: its commit is confirmed by the quorum, where there is one, whatever the others' are.
        """
        async with self.work(safe=safe) as conn:
            conn.wrote = False
            yield conn
            if not conn.wrote:
                await conn.execute(TOLD)

    @asynccontextmanager
    async def work(self, *, safe: bool = False) -> AsyncIterator[Connection]:
        """The same that nobody is told of, so that looking for work in vain leaves the log as it is."""
        async with self.read() as conn:
            conn.unconfirmed = False
            async with AsyncExitStack() as committing, conn.transaction():
                if safe:
                    await conn.execute("SET LOCAL synchronous_commit = on")
                yield conn
                if safe:
                    await committing.enter_async_context(_patience(conn, self.wait_s))
            if conn.unconfirmed:
                raise NotSafeElsewhere("The commit was not confirmed by the standby.")

    async def confirmed(self) -> None:
        """Return once all that was committed until now is confirmed, as a safe write is."""
        async with self.write(safe=True):
            pass

    @asynccontextmanager
    async def apart(self) -> AsyncIterator[Connection]:
        """A transaction of its own for whoever is in one, or serves those: short, committed whatever becomes of the other.

        Nobody waits for its copies: it comes before the other in the log, so no copy has the other without it.
        """
        async with self._pools[APART].connection() as conn, conn.transaction():
            await conn.execute("SET LOCAL synchronous_commit = off")
            await conn.execute("SET LOCAL lock_timeout = '5s'")
            yield conn

    async def _configure(self, conn: Connection) -> None:
        """What Postgres does to think about a page must not depend on how many posts there are.

        At a million it takes a page for work that is worth compiling (30 ms for what takes 5); and from some thousand on it
        plans a guest's page anew each time, which takes longer than to read it.
        """
        await conn.execute(PLANNING)
        conn.keys, conn.db = self._keys, self
        conn.add_notice_handler(conn.note)


@asynccontextmanager
async def _patience(conn: Connection, seconds: float) -> AsyncIterator[None]:
    """Cancel a commit that still waits after so many seconds; it ends with the warning that it is not safe."""

    async def give_up() -> None:
        await asyncio.sleep(seconds)
        await conn.cancel_safe()

    task = asyncio.create_task(give_up())
    try:
        yield
    finally:
        task.cancel()


async def one(conn: Connection, sql: LiteralString, *args: Any) -> DictRow | None:
    """The first row, if any."""
    cursor = await conn.execute(sql, _values(args))
    return await cursor.fetchone()


async def rows(conn: Connection, sql: LiteralString, *args: Any) -> list[DictRow]:
    """All rows."""
    cursor = await conn.execute(sql, _values(args))
    return await cursor.fetchall()


def _values(args: Sequence[Any]) -> Sequence[Any] | Mapping[str, Any]:
    """Values in order, or by name where one mapping was given."""
    return args[0] if len(args) == 1 and isinstance(args[0], Mapping) else args


def _pool(url: str, configure: Configure, size: int) -> AsyncConnectionPool[Connection]:
    return AsyncConnectionPool(
        url,
        connection_class=Connection,
        kwargs={"autocommit": True, "row_factory": dict_row},
        configure=configure,
        check=AsyncConnectionPool.check_connection,
        min_size=2,
        max_size=size,
        timeout=3,
        reconnect_timeout=5,
        open=False,
    )
