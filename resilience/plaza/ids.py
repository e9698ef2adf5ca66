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
_RANDOM_BITS = 16
_STEP_BITS = 12  # what is made within one millisecond: in order, and still not to be guessed


class Ids:
    """Gives ids; each is greater than the one before in this process, also when its clock goes back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def new(self) -> int:
        """A fresh id for this moment."""
        with self._lock:
            fresh = time.time_ns() // 1_000_000 << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
            if fresh <= self._last:
                fresh = self._last + 1 + secrets.randbits(_STEP_BITS)
            self._last = fresh
            return fresh


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
