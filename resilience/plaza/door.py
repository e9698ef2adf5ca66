"""The door: takes people from the line and lets them in, as fast as passwords can be hashed and no faster."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import structlog
from cryptography.fernet import Fernet, InvalidToken

from resilience.plaza import lanes, mode, signups
from resilience.plaza.db import Database
from resilience.plaza.errors import NotSafeElsewhere, PlazaError
from resilience.plaza.gate import Gate
from resilience.plaza.passwords import Passwords
from resilience.plaza.signups import Applicant

BATCH = 8
"""People who are let in by one commit: where a commit waits for other vendors, they wait once."""
REST = 1.0
"""Of what a batch took, so long the next one waits in a surge: whoever is inside is served first, also on one core."""
IDLE_S = 1.0
AGAIN_S = 1.0
MEASURED_S = 30.0

log = structlog.get_logger()


class Door:
    """Lets people in, one batch after another, and tells those who wait here when it is their turn."""

    def __init__(
        self,
        db: Database,
        passwords: Passwords,
        gate: Gate,
        key: Path,
        mark: Path | None = None,
        *,
        confirms: bool = False,
    ) -> None:
        self._db = db
        self._passwords = passwords
        self._gate = gate
        self._mark = mark
        self._enter = signups.ask_to_confirm if confirms else signups.let_in
        self._seal = _load_key(key)
        self._rung = asyncio.Event()
        self._waiting: dict[int, asyncio.Event] = {}
        self._recent: deque[tuple[float, int]] = deque()
        self.line = 0
        self.let_in = 0

    def seal(self, password: str) -> bytes:
        """A password that can wait in the database: only this fleet's key opens it."""
        return self._seal.encrypt(password.encode())

    async def ring(self, place: int, within_s: float) -> None:
        """Somebody stands in line; return when their turn was, or when that takes too long."""
        turn = self._waiting.setdefault(place, asyncio.Event())
        self._rung.set()
        try:
            await asyncio.wait_for(turn.wait(), within_s)
        except TimeoutError:
            pass
        finally:
            self._waiting.pop(place, None)

    @property
    def is_busy(self) -> bool:
        """Whether there are more people in line than one batch takes."""
        return self.line > BATCH

    @property
    def per_second(self) -> float:
        """How many are let in a second, lately."""
        since = time.monotonic() - MEASURED_S
        while self._recent and self._recent[0][0] < since:
            self._recent.popleft()
        if not self._recent:
            return 1.0
        span = max(1.0, time.monotonic() - self._recent[0][0])
        return max(0.2, sum(count for _, count in self._recent) / span)

    async def keep(self) -> None:
        """Let people in as long as the server runs."""
        lanes.current.set(lanes.LINE)
        while True:
            self._rung.clear()
            began = time.monotonic()
            try:
                busy = self._gate.why_closed is None and await self._admit()
            except (psycopg.Error, NotSafeElsewhere, PlazaError, OSError) as error:
                log.warning("nobody let in", why=str(error).strip()[:200])
                await asyncio.sleep(AGAIN_S)
                continue
            if not busy:
                await self._next_ring()
            elif self.is_busy:
                await asyncio.sleep(REST * (time.monotonic() - began))

    async def _next_ring(self) -> None:
        try:
            await asyncio.wait_for(self._rung.wait(), IDLE_S)
        except TimeoutError:
            return

    async def _admit(self) -> bool:
        """Let one batch in; True when there was somebody."""
        async with self._db.work() as conn:
            closed = (await mode.current(conn)).read_only
            batch = [] if closed else await signups.take(conn, BATCH, self._held_since())
            if batch:
                for who, hashed in [(who, await self._hash(who)) for who in batch]:
                    await self._enter(conn, who, hashed)
                self.line = await signups.length(conn)
        if batch:
            self._recent.append((time.monotonic(), len(batch)))
            self.let_in += len(batch)
            for who in batch:
                if who.id in self._waiting:
                    self._waiting[who.id].set()
        return bool(batch)

    def _held_since(self) -> datetime | None:
        """Since when sign-ups are held here, None where they are not.

        Whoever stands in line since then was let past the site's gate by its keeper; nobody else gets there meanwhile.
        """
        if self._mark is None or self._mark.exists():
            return None
        return datetime.fromtimestamp(self._mark.parent.stat().st_mtime, UTC)

    async def _hash(self, who: Applicant) -> str:
        try:
            password = self._seal.decrypt(who.sealed).decode()
        except InvalidToken:
            why = f"SIGNUPS_KEY is not the key that place {who.id} in line was sealed with"
            raise PlazaError(
                "Nobody is let in", why, "Bring the fleet's signups.key; whoever waits stays in line."
            ) from None
        return await self._passwords.hash_in_line(password)


def _load_key(path: Path) -> Fernet:
    try:
        return Fernet(path.read_bytes().strip())
    except (OSError, ValueError) as error:
        what = "Nobody can sign up"
        raise PlazaError(what, f"{path} holds no key ({error})", "Bring the fleet's signups.key.") from None
