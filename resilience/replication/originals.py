"""What was put first: where a store can't forbid writing over an object but keeps versions, the first one is the object.

Objects are written once, so whatever somebody put over one later is not what the product put there, however good it looks.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from typing import Protocol, TypeVar, runtime_checkable

import structlog

from resilience.errors import Oversized, ResilienceError, VaultError, VaultSilent, VendorClosed
from resilience.ports import Vault
from resilience.replication import layout

T = TypeVar("T")
log = structlog.get_logger()


@runtime_checkable
class KeepsVersions(Protocol):
    """A vault whose store may keep what was there before."""

    def first(self, key: str) -> bytes | None:
        """The oldest version of an object; None where it never was."""


@runtime_checkable
class TellsWrittenOver(KeepsVersions, Protocol):
    """The same, and it says of which objects."""

    def versions_of(self, prefix: str) -> tuple[list[str], frozenset[str]]:
        """Keys with this prefix, in order, and those of which there is more than one version."""


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


class AsPut:
    """A vault as it was put: of what somebody wrote over, the first version, also where the newest is as well signed.

    Which objects those are a listing of versions tells, in place of one of names: as many requests. Of each folder one is made
    before anything there is read. What is written over after that is not known here.
    """

    def __init__(self, vault: Vault, folder: Callable[[str], str | None] = layout.guarded) -> None:
        self.name = vault.name
        self.vault = vault
        self._folder = folder
        self._over: dict[str, frozenset[str]] = {}
        """By folder, what somebody wrote over there."""
        self._keys: dict[str, builtins.list[str]] = {}
        """By folder, what its versions told, until somebody wants that listed."""
        self._looking = Lock()

    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` if absent."""
        return self.vault.put_new(key, data)

    def get(self, key: str) -> bytes | None:
        """The object as it was put."""
        return self.first(key) if self.written_over(key) else self.vault.get(key)

    def first(self, key: str) -> bytes | None:
        """The oldest version, where the store keeps versions."""
        return self.vault.first(key) if isinstance(self.vault, KeepsVersions) else None

    def exists(self, key: str) -> bool:
        """Whether `key` is there."""
        return self.vault.exists(key)

    def list(self, prefix: str) -> list[str]:
        """Keys with this prefix, in order."""
        if self._folder(prefix) != prefix:
            return self.vault.list(prefix)
        with self._looking:
            kept = self._keys.pop(prefix, None)
            return self._look(prefix) if kept is None else kept

    def delete(self, key: str) -> None:
        """Remove `key`."""
        self.vault.delete(key)

    def erase(self, key: str) -> None:
        """Remove every version of `key`."""
        self.vault.erase(key)

    def close(self) -> None:
        """The vault is called no more."""
        self.vault.close()

    def written_over(self, key: str) -> bool:
        """Whether there was more than one version of it when its folder was looked at."""
        folder = self._folder(key)
        if folder is None:
            return False
        with self._looking:
            if folder not in self._over:
                self._keys[folder] = self._look(folder)
            return key in self._over[folder]

    def _look(self, folder: str) -> builtins.list[str]:
        keys, over = self._versions_of(folder)
        if over and over != self._over.get(folder):
            told = {"vault": self.name, "objects": len(over), "first": min(over)}
            log.warning("objects were written over; their first versions are read", **told)
        self._over[folder] = over
        return keys

    def _versions_of(self, folder: str) -> tuple[builtins.list[str], frozenset[str]]:
        if isinstance(self.vault, TellsWrittenOver):
            try:
                return self.vault.versions_of(folder)
            except (VaultSilent, VendorClosed):
                raise
            except VaultError as error:
                log.warning(
                    "versions cannot be listed; the newest are read", vault=self.name, below=folder, why=error.why
                )
        return self.vault.list(folder), frozenset()


def as_put(vaults: Mapping[str, Vault]) -> dict[str, Vault]:
    """The vaults, each as it was put."""
    return {name: AsPut(vault) for name, vault in vaults.items()}


def was_written_over(vault: Vault, key: str) -> bool:
    """Whether the first version was read in place of what is there."""
    return isinstance(vault, AsPut) and vault.written_over(key)


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
