"""Asking all vaults and waiting for none that is slower than others: one that is lost answers nobody, and a standby goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from threading import Lock, Thread

from resilience.errors import ResilienceError
from resilience.ports import Vault

GRACE = 0.5
"""Seconds for which others are waited for, once one has answered."""


class Prompt:
    """Asks each vault in a thread of its own; what it says late counts when the same is asked again.

    One that still owes an answer is asked for other keys, and waited for no more.
    """

    def __init__(self, vaults: Mapping[str, Vault]) -> None:
        self._vaults = vaults
        self._owing: set[tuple[str, str]] = set()
        self._late: dict[tuple[str, str], bytes | Exception | None] = {}
        self._lock = Lock()

    def get(self, key: str) -> dict[str, bytes | ResilienceError | None]:
        """Objects and errors by name, of those vaults that gave one by now; what is not there says nothing."""
        told: SimpleQueue[tuple[str, bytes | Exception | None]] = SimpleQueue()
        with self._lock:
            owing = {name for _, name in self._owing}
            asked = [name for name in self._vaults if (key, name) not in self._owing]
            self._owing.update((key, name) for name in asked)
            answers = {name: self._late.pop((key, name)) for name in self._vaults if (key, name) in self._late}
        for name in asked:
            Thread(target=self._ask, args=(key, name, told), name=f"prompt-{name}", daemon=True).start()
        awaited = set(asked) - owing
        until = time.monotonic() + GRACE if owing else None
        while awaited:
            try:
                name, answer = told.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except Empty:
                break
            answers[name] = answer
            awaited.discard(name)
            until = until or time.monotonic() + GRACE
        return {name: _word(answer) for name, answer in answers.items()}

    def _ask(self, key: str, name: str, told: SimpleQueue[tuple[str, bytes | Exception | None]]) -> None:
        answer: bytes | Exception | None
        try:
            answer = self._vaults[name].get(key)
        except Exception as error:  # noqa: BLE001 - raised by who asked, as far as it is no vault's word
            answer = error
        with self._lock:
            self._owing.discard((key, name))
            self._late[key, name] = answer
        told.put((name, answer))


def _word(answer: bytes | Exception | None) -> bytes | ResilienceError | None:
    if isinstance(answer, Exception) and not isinstance(answer, ResilienceError):
        raise answer
    return answer
