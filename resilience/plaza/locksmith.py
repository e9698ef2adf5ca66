"""The locksmith: puts keys that lie in no keyring into one, beside the traffic."""

from __future__ import annotations

import asyncio
from typing import LiteralString

import psycopg
import structlog

from resilience.plaza import keyrings
from resilience.plaza.db import one
from resilience.plaza.errors import PlazaError
from resilience.plaza.keyrings import MOST, Keyring
from resilience.plaza.state import Plaza

EVERY_S, SOON_S = 10.0, 0.25

log = structlog.get_logger()


class Locksmith:
    """Makes a ring as soon as there are keys for a full one, and of fewer once a day."""

    def __init__(self, plaza: Plaza, most: int = MOST) -> None:
        self._plaza = plaza
        self._most = most
        self._announced: tuple[int, Keyring] | None = None

    async def keep(self) -> None:
        """Look as long as the server runs."""
        while True:
            rest = EVERY_S
            try:
                if self._plaza.gate.why_closed is None and await self.step():
                    rest = SOON_S
            except (psycopg.Error, PlazaError, OSError) as error:
                log.warning("no keyring made", why=str(error).strip()[:200])
            await asyncio.sleep(rest)

    async def step(self) -> bool:
        """Announce the next ring, or make the one whose entry is held elsewhere by now; True when there may be more to do."""
        if self._announced is None:
            self._announced = await self._announce()
            return self._announced is not None
        seq, ring = self._announced
        if self._plaza.ledger.is_held(seq):
            self._announced = None
            await asyncio.to_thread(self._make, ring)
        return True

    async def _announce(self) -> tuple[int, Keyring] | None:
        """Have the ledger name the next ring, so that it goes whatever becomes of its row."""
        async with self._plaza.db.read() as conn:
            found = await one(conn, DUE)
        if found is None or found["is_on"] == "on":
            return None
        useless, ring = await asyncio.to_thread(self._look, found["loose"], late=found["late"])
        if useless:
            await self._plaza.enter(lambda _: keyrings.draft([], useless))
        return None if ring is None else (await self._plaza.enter(lambda _: ring.draft), ring)

    def _look(self, loose: int, *, late: bool) -> tuple[dict[str, int], Keyring | None]:
        store = self._plaza.store
        with psycopg.connect(self._plaza.settings.database_url, connect_timeout=5) as conn:
            is_due = late or loose >= self._most
            ring = keyrings.gathered(conn, store, self._most, fewer=late) if is_due else None
            return keyrings.useless(conn, store), ring

    def _make(self, ring: Keyring) -> None:
        store = self._plaza.store
        if self._plaza.eraser.settled(lambda conn: keyrings.make(conn, store, ring)):
            log.info("keyring made", keys=len(ring.keys), replaced=len(ring.replaced))


DUE: LiteralString = """
SELECT current_setting('transaction_read_only') AS is_on, count(*) AS loose,
    coalesce(min(created_at) < now() - interval '1 hour' AND NOT EXISTS (
        SELECT FROM media WHERE purpose = 'keyring' AND created_at > now() - interval '1 day'), false) AS late
FROM media WHERE purpose = 'key' AND ring IS NULL
"""
