"""What a running plaza is made of, in one value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from starlette.requests import Request

from resilience.plaza.db import Database
from resilience.plaza.door import Door
from resilience.plaza.endpoints import Endpoints
from resilience.plaza.erasure import Drafter, Eraser
from resilience.plaza.errors import NotSafeElsewhere, PlazaError
from resilience.plaza.gate import Gate
from resilience.plaza.holds import Holds
from resilience.plaza.keys import Keys
from resilience.plaza.lanes import Known
from resilience.plaza.ledger import Ledger
from resilience.plaza.mail import Mailer
from resilience.plaza.passwords import Passwords
from resilience.plaza.persons import Stock
from resilience.plaza.pictures import Darkroom
from resilience.plaza.push import Pusher
from resilience.plaza.ratelimit import Limits
from resilience.plaza.sealer import Sealer
from resilience.plaza.secondfactor import SecondFactor
from resilience.plaza.settings import Settings
from resilience.plaza.store import Store
from resilience.plaza.tasks import Tasks
from resilience.plaza.words import Filler

POLL_S = 0.02
NOT_YET = "recorded here but not yet safe elsewhere"


@dataclass(frozen=True)
class Plaza:
    """Everything a request handler may need."""

    settings: Settings
    db: Database
    passwords: Passwords
    darkroom: Darkroom
    store: Store
    keys: Keys
    stock: Stock
    filler: Filler
    sealer: Sealer
    ledger: Ledger
    eraser: Eraser
    holds: Holds
    second: SecondFactor
    gate: Gate
    limits: Limits
    known: Known
    door: Door
    endpoints: Endpoints
    pusher: Pusher
    mailer: Mailer
    tasks: Tasks

    async def record(self, drafter: Drafter) -> int:
        """Put an entry into the ledger, apply it, and wait until it is held elsewhere."""
        seq = await self.enter(drafter)
        await self.wait_held(seq)
        return seq

    async def enter(self, drafter: Drafter) -> int:
        """Put an entry into the ledger and apply it: it is in force here, and nobody may be told `done` yet."""
        try:
            return await asyncio.to_thread(self.eraser.record, drafter)
        except (psycopg.Error, PlazaError, OSError):
            self.gate.close("The ledger may be ahead of the database")
            raise

    async def wait_held(self, seq: int) -> None:
        """Return once enough vaults hold the entry; raise when that takes too long."""
        if not await _becomes(lambda: self.ledger.is_held(seq), self.settings.ledger_wait_s):
            raise NotSafeElsewhere(f"Ledger entry {seq} is {NOT_YET}")


def plaza_of(request: Request) -> Plaza:
    """The plaza that serves this request."""
    plaza: Plaza = request.app.state.plaza
    return plaza


async def _becomes(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition becomes true in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition():
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(POLL_S)
    return True
