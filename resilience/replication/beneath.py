"""A vault as a rehearsal sees it: everything is read, and what is put lies beneath a name of its own.

The site that is rehearsed on reads its own objects before the fleet's, so it can seal and ship as after a
failover; nobody else ever looks below that name.
"""

from __future__ import annotations

import builtins

from resilience.errors import Refused
from resilience.ports import Vault
from resilience.replication.originals import KeepsVersions, TellsWrittenOver


class Beneath:
    """One vault's objects, with those below `prefix` (for example `rehearsal/3f9a/`) laid over them."""

    def __init__(self, vault: Vault, prefix: str) -> None:
        self.name = vault.name
        self._vault = vault
        self._prefix = prefix

    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` below the prefix, if it is absent there."""
        return self._vault.put_new(self._prefix + key, data)

    def get(self, key: str) -> bytes | None:
        """The rehearsal's own object, or else the fleet's."""
        own = self._vault.get(self._prefix + key)
        return own if own is not None else self._vault.get(key)

    def exists(self, key: str) -> bool:
        """Whether either is there."""
        return self._vault.exists(self._prefix + key) or self._vault.exists(key)

    def list(self, prefix: str) -> list[str]:
        """Both, in order."""
        own = (key.removeprefix(self._prefix) for key in self._vault.list(self._prefix + prefix))
        return sorted({*own, *self._vault.list(prefix)})

    def delete(self, key: str) -> None:
        """Remove the rehearsal's own object; Refused for any other."""
        self._refuse_others(key)
        self._vault.delete(self._prefix + key)

    def erase(self, key: str) -> None:
        """The same, with every version of it."""
        self._refuse_others(key)
        self._vault.erase(self._prefix + key)

    def close(self) -> None:
        """The vault below is called no more."""
        self._vault.close()

    def _refuse_others(self, key: str) -> None:
        if not self._vault.exists(self._prefix + key) and self._vault.exists(key):
            raise Refused(
                f"{key} in {self.name} is not the rehearsal's.",
                "A rehearsal leaves everything as it was.",
                "Nothing was removed; report this as a bug.",
            )

    def first(self, key: str) -> bytes | None:
        """The fleet's oldest version, where the store keeps versions."""
        return self._vault.first(key) if isinstance(self._vault, KeepsVersions) else None

    def versions_of(self, prefix: str) -> tuple[builtins.list[str], frozenset[str]]:
        """Keys of both, and what was written over of the fleet's, where the store says so; the rehearsal's own is as it is."""
        if not isinstance(self._vault, TellsWrittenOver):
            return self.list(prefix), frozenset()
        own = [key.removeprefix(self._prefix) for key in self._vault.list(self._prefix + prefix)]
        keys, over = self._vault.versions_of(prefix)
        return sorted({*own, *keys}), over.difference(own)
