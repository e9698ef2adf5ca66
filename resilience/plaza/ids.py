"""Ids: 64-bit, sortable by time, and not to be counted through.

The layout is Mastodon's: 48 bits of milliseconds, 16 bits that are random here, so that
clients that turn a date into an id get what they expect.
"""

from __future__ import annotations

import secrets
import threading
import time

from resilience.plaza.errors import not_found

_MAX = (1 << 63) - 1


class Ids:
    """Gives ids; never the same one twice in a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = 0
        self._used: set[int] = set()

    def new(self) -> int:
        """A fresh id for this moment."""
        with self._lock:
            now = time.time_ns() // 1_000_000
            if now != self._millisecond:
                self._millisecond, self._used = now, set()
            low = secrets.randbits(16)
            while low in self._used:
                low = secrets.randbits(16)
            self._used.add(low)
            return now << 16 | low


_ids = Ids()


def new_id() -> int:
    """A fresh id for this moment."""
    return _ids.new()


def parse_id(text: object) -> int:
    """The id a client sent; what isn't one is simply not found."""
    digits = str(text)
    if not digits.isascii() or not digits.isdigit() or len(digits) > 19:
        raise not_found()
    value = int(digits)
    if value > _MAX:
        raise not_found()
    return value
