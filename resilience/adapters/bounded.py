"""What a vault gives is taken into memory up to a bound: whoever may put one object, or rules the store, must not end a reader by its size."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

from resilience.adapters.answers import OddAnswer

LARGEST = 256 << 20
"""Bytes of one answer: twice the largest thing that is got whole, a mirror's copy of the packages hosts are set up from."""
PIECE = 1 << 20


def bounded(pieces: Iterable[bytes], close: Callable[[], None]) -> bytes:
    """All pieces together; OddAnswer once they are too many, and the line is closed."""
    held, size = [], 0
    for piece in pieces:
        size += len(piece)
        if size > LARGEST:
            close()
        refuse_above(size)
        held.append(piece)
    return b"".join(held)


def refuse_above(size: int) -> None:
    """OddAnswer for more than the bound."""
    if size > LARGEST:
        raise OddAnswer(f"It gives more than {LARGEST >> 20} MiB, and nothing here is so large.")


class Held(io.BytesIO):
    """A file in memory that takes no more than that."""

    def write(self, data: Any) -> int:
        """As any file."""
        refuse_above(self.tell() + len(data))
        return super().write(data)
