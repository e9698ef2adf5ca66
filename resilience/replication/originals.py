"""What was put first: where a store can't forbid writing over an object but keeps versions, the first one is the object.

Objects are written once, so whatever somebody put over one later is not what the product put there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import structlog

from resilience.errors import Oversized, ResilienceError
from resilience.ports import Vault

T = TypeVar("T")
log = structlog.get_logger()


@runtime_checkable
class KeepsVersions(Protocol):
    """A vault whose store may keep what was there before."""

    def first(self, key: str) -> bytes | None:
        """The oldest version of an object; None where it never was."""


@runtime_checkable
class KeepsHidden(Protocol):
    """A vault whose store may keep what was deleted."""

    def hidden(self, prefix: str) -> Sequence[str]:
        """Keys that are shown no more, of which the store keeps versions, in order."""


@runtime_checkable
class TellsLock(Protocol):
    """A vault whose store may hold an object back, and says until when."""

    def locked_until(self, key: str) -> float | None:
        """Until when nobody can remove the newest version, in seconds since the Unix epoch; None where nothing says so."""


class Altered:
    """Something is there, and no version of it is what was put."""


def read_good(vault: Vault, key: str, decode: Callable[[bytes], T | None]) -> tuple[bytes, T] | Altered | None:
    """The object and what it says, as it is or as it was put first; Altered; None when it is absent."""
    try:
        data = vault.get(key)
    except Oversized:
        return _first(vault, key, decode)
    if data is None:
        return None
    said = decode(data)
    return (data, said) if said is not None else _first(vault, key, decode)


def first_good(vaults: Iterable[Vault], key: str, decode: Callable[[bytes], T | None]) -> T | None:
    """What the object says in the first of the vaults that has it as it was put; one that does not answer is passed over."""
    for vault in vaults:
        try:
            found = read_good(vault, key, decode)
        except ResilienceError:
            continue
        if isinstance(found, tuple):
            return found[1]
    return None


def _first(vault: Vault, key: str, decode: Callable[[bytes], T | None]) -> tuple[bytes, T] | Altered:
    if not isinstance(vault, KeepsVersions):
        return Altered()
    try:
        data = vault.first(key)
    except ResilienceError as error:
        log.warning("older versions cannot be read", vault=vault.name, key=key, why=error.why)
        return Altered()
    said = None if data is None else decode(data)
    if data is None or said is None:
        return Altered()
    log.warning("an object was written over; its first version is read", vault=vault.name, key=key)
    return data, said
