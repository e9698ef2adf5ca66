"""Asking all vaults and waiting for none that is slower than others: one that is lost answers nobody, and a standby goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

from resilience.errors import ResilienceError
from resilience.ports import Vault

T = TypeVar("T")
GRACE = 0.5
"""Seconds for which others are waited for, once one has answered."""


class Prompt:
    """Asks each vault in a thread of its own; one that still owes an answer is not asked anew, and what it says late counts when the same is asked again."""

    def __init__(self, vaults: Mapping[str, Vault]) -> None:
        self._vaults = vaults
        self._owing: set[str] = set()
        self._late: dict[tuple[str, str], object] = {}
        self._lock = Lock()

    def each(self, question: str, ask: Callable[[Vault], T]) -> dict[str, T | ResilienceError]:
        """Answers and errors by name, of those vaults that gave one by now; what is not there says nothing."""
        told: SimpleQueue[tuple[str, T | Exception]] = SimpleQueue()
        with self._lock:
            asked = [name for name in self._vaults if name not in self._owing]
            self._owing.update(asked)
            late = {name: self._late.pop((question, name)) for name in self._vaults if (question, name) in self._late}
        for name in asked:
            Thread(target=self._ask, args=(question, name, ask, told), name=f"prompt-{name}", daemon=True).start()
        found: dict[str, Any] = dict(late)
        heard, until = 0, None if asked else 0.0
        while heard < len(asked):
            try:
                name, answer = told.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except Empty:
                break
            found[name], heard = answer, heard + 1
            until = until or time.monotonic() + GRACE
        for answer in found.values():
            if isinstance(answer, Exception) and not isinstance(answer, ResilienceError):
                raise answer
        return found

    def _ask(
        self, question: str, name: str, ask: Callable[[Vault], T], told: SimpleQueue[tuple[str, T | Exception]]
    ) -> None:
        answer: T | Exception
        try:
            answer = ask(self._vaults[name])
        except Exception as error:  # noqa: BLE001 - raised by who asked, as far as it is no vault's word
            answer = error
        with self._lock:
            self._owing.discard(name)
            self._late[question, name] = answer
        told.put((name, answer))
