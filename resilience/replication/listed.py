"""What a vault lists and the operator may have signed: looked at one object at a time, and not for ever.

Whoever runs a vault can list names without end, each with an object as large as its kind may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from resilience.errors import Oversized
from resilience.ports import Vault

TRIES = 20
"""How many names of one vault are looked at that hold nothing which counts, before it is left for the next one."""

T = TypeVar("T")


class Doubt(str):
    """Why an object does not count, as the end of a sentence that begins with its name."""

    __slots__ = ()


def in_turn(
    vault: Vault, keys: Iterable[str], read: Callable[[str, bytes], T | Doubt]
) -> Iterator[tuple[str, T | Doubt]]:
    """What lies under each of these names, where `read` tells what an object says; ends after TRIES doubts."""
    left = TRIES
    for key in keys:
        found = _look(vault, key, read)
        yield key, found
        left -= isinstance(found, Doubt)
        if not left:
            return


def _look(vault: Vault, key: str, read: Callable[[str, bytes], T | Doubt]) -> T | Doubt:
    try:
        data = vault.get(key)
    except Oversized:
        return Doubt("is larger than anything of its kind")
    return Doubt("is listed and not there") if data is None else read(key, data)
