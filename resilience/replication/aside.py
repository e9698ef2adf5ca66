"""Work that nobody has to wait for: its thread ends with the process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def begin(work: Callable[[], T]) -> Future[T]:
    """Start it; what comes of it, for whoever does wait."""
    promised: Future[T] = Future()

    def run() -> None:
        try:
            promised.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again in whoever asks what came of it
            promised.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return promised
