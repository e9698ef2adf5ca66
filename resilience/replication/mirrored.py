"""A mirror: a store that seals nothing, and holds what the operator copied out of vaults, below each vault's name.

Whatever is in a vault proves itself (it is signed, sealed, or named by its content), so a copy of it byte by byte is
as good to read from. That something is absent proves nothing here: a mirror is as old as its last run.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from resilience.ports import Vault


@runtime_checkable
class WritesOver(Protocol):
    """A store that writes without asking what is there: all that can be had where nothing is created conditionally."""

    def put_over(self, key: str, data: bytes) -> None:
        """Write, whatever is there."""


def within(vault: str) -> str:
    """Where a mirror keeps what was copied out of this vault."""
    return f"{vault}/"


class Mirrored:
    """One vault's objects as a mirror holds them; without conditional create, so only the operator may write."""

    def __init__(self, store: Vault, prefix: str, name: str) -> None:
        self.name = name
        self._store = store
        self._prefix = prefix

    def put_new(self, key: str, data: bytes) -> bool:
        """Write `key` if it is not there: enough for whoever writes alone, and for nobody else."""
        if self.exists(key):
            return False
        self.put_over(key, data)
        return True

    def put_over(self, key: str, data: bytes) -> None:
        """Write `key`, whatever is there."""
        if isinstance(self._store, WritesOver):
            self._store.put_over(self._prefix + key, data)
        else:
            self._store.put_new(self._prefix + key, data)

    def get(self, key: str) -> bytes | None:
        """The whole object."""
        return self._store.get(self._prefix + key)

    def exists(self, key: str) -> bool:
        """Whether `key` is there."""
        return self._store.exists(self._prefix + key)

    def list(self, prefix: str) -> list[str]:
        """Keys with this prefix, in order."""
        return [key.removeprefix(self._prefix) for key in self._store.list(self._prefix + prefix)]

    def delete(self, key: str) -> None:
        """Remove `key`."""
        self._store.delete(self._prefix + key)

    def erase(self, key: str) -> None:
        """Remove every version of `key`."""
        self._store.erase(self._prefix + key)

    def close(self) -> None:
        """The store is called no more."""
        self._store.close()
