"""Tasks: what runs beside requests, as long as the server does. One that breaks is written down, counted and started again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

AGAIN_S = 1.0
Job = Callable[[], Awaitable[None]]

log = structlog.get_logger()


class Tasks:
    """Everything that runs beside requests."""

    def __init__(self) -> None:
        self._running: list[asyncio.Task[None]] = []
        self.broken: Counter[str] = Counter()
        """How often each broke, by name."""

    def start(self, name: str, job: Job) -> None:
        """Run a job until it returns, which says that nothing is left to do."""
        self.broken[name] += 0
        self._running.append(asyncio.create_task(self._keep(name, job), name=name))

    async def end(self) -> None:
        """Cancel all that run."""
        for task in self._running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _keep(self, name: str, job: Job) -> None:
        while True:
            try:
                await job()
            except Exception:
                self.broken[name] += 1
                log.exception("task broken", task=name, next="It starts again by itself.")
                await asyncio.sleep(AGAIN_S)
            else:
                return
