"""What a vault gives is taken into memory up to a bound: whoever may put one object, or rules the store, must not end a reader by its size."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

from resilience.adapters.answers import TooLarge
from resilience.replication import layout

LARGEST = layout.ANY
"""Bytes of an answer that is no object."""
PIECE = 1 << 20


def bounded(pieces: Iterable[bytes], close: Callable[[], None], most: int | None = None) -> bytes:
    """All pieces together; TooLarge once they are too many, and the line is closed."""
    most, held, size = most or LARGEST, [], 0
    for piece in pieces:
        size += len(piece)
        if size > most:
            close()
        refuse_above(most, size)
        held.append(piece)
    return b"".join(held)


def refuse_above(most: int, size: int) -> None:
    """TooLarge for more than the bound."""
    if size > most:
        raise TooLarge(f"It gives more than {most >> 20} MiB, and nothing of this kind is so large.")


class Held(io.BytesIO):
    """A file in memory that takes no more than that."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def write(self, data: Any) -> int:
        """As any file."""
        refuse_above(self._most, self.tell() + len(data))
        return super().write(data)
