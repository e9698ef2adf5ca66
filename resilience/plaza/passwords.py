"""Passwords: argon2id in a small thread pool, so that pages stay quick while people log in."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from resilience.plaza.errors import PlazaError

T = TypeVar("T")

PROFILES = {
    # OWASP's password storage cheat sheet: 19 MiB, 2 passes, 1 lane.
    "owasp": argon2.Parameters(argon2.Type.ID, 19, 16, 32, time_cost=2, memory_cost=19456, parallelism=1),
    # For tests and seeding on a machine that nobody else can reach.
    "light": argon2.Parameters(argon2.Type.ID, 19, 16, 32, time_cost=1, memory_cost=1024, parallelism=1),
}

NICE = 10


class Passwords:
    """Hashes and checks passwords."""

    def __init__(self, profile: str) -> None:
        if profile not in PROFILES:
            raise PlazaError(
                "ARGON2 names no profile",
                f"'{profile}' is unknown",
                f"Use one of {', '.join(PROFILES)}.",
            )
        self._hasher = argon2.PasswordHasher.from_parameters(PROFILES[profile])
        workers = max(1, len(os.sched_getaffinity(0)) // 2)
        self._people = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
        self._line = ThreadPoolExecutor(workers, thread_name_prefix="argon2-line", initializer=_step_back)
        self._nobody = self._hasher.hash(os.urandom(16).hex())

    async def hash(self, password: str) -> str:
        """An argon2id hash with its parameters inside."""
        return await self._run(self._people, lambda: self._hasher.hash(password))

    async def hash_in_line(self, password: str) -> str:
        """The same for somebody who isn't inside yet: whoever is goes first, and so do pages."""
        return await self._run(self._line, lambda: self._hasher.hash(password))

    async def matches(self, stored: str | None, password: str) -> bool:
        """Whether the password is right; takes as long when there is no such account."""
        known = await self._run(self._people, lambda: self._verify(stored or self._nobody, password))
        return known and stored is not None

    def close(self) -> None:
        """Let the threads go."""
        for pool in (self._people, self._line):
            pool.shutdown(wait=False, cancel_futures=True)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    @staticmethod
    async def _run(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work)


def _step_back() -> None:
    """Let this thread have the processor only when nobody else wants it."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE)
