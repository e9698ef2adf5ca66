"""The gate: closed to readers and writers until the ledger was replayed on what is here."""

from __future__ import annotations

import asyncio

import psycopg
import structlog

from resilience.plaza.erasure import Eraser, Replayed, explain
from resilience.plaza.errors import PlazaError

AGAIN_S = 0.5
"""How long to wait between two tries to reach a database that isn't there."""

log = structlog.get_logger()


class Gate:
    """Whether plaza may be read, and if not, why."""

    def __init__(self) -> None:
        self._needed = asyncio.Event()
        self._why: str | None = "The ledger has not been replayed yet"
        self._needed.set()

    @property
    def why_closed(self) -> str | None:
        """The reason, or None when open."""
        return self._why

    def close(self, why: str) -> None:
        """Close, until the next replay went through."""
        self._why = why
        self._needed.set()

    async def keep(self, eraser: Eraser) -> None:
        """Replay whenever needed, and open after it; runs as long as the server."""
        while True:
            await self._needed.wait()
            self._needed.clear()
            try:
                problem = await self._try(eraser)
            except Exception:
                self._needed.set()  # whoever begins again has it to do
                raise
            if problem is not None:
                self._why = str(problem)
                log.warning("closed", what=problem.what, why=problem.why, next=problem.next_step)
                await asyncio.sleep(AGAIN_S)
                self._needed.set()

    async def _try(self, eraser: Eraser) -> PlazaError | None:
        try:
            done: Replayed = await asyncio.to_thread(eraser.replay)
        except psycopg.Error as error:
            return explain(error)
        except PlazaError as error:
            return error
        except OSError as error:
            return PlazaError("The ledger can't be replayed", str(error), "Check the directories.")
        if not self._needed.is_set():
            self._why = None
        log.info("open", entries=done.entries, applied=done.applied)
        return None
