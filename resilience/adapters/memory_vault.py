"""A vault in memory: the fake that keeps the port's promises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from resilience.errors import Oversized, VaultError
from resilience.replication import layout


class MemoryVault:
    """Objects in a dictionary, written once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.objects: dict[str, bytes] = {}
        self._lock = Lock()
        self._closed = False

    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` if absent."""
        with self._asked():
            if key in self.objects:
                return False
            self.objects[key] = bytes(data)
            return True

    def get(self, key: str) -> bytes | None:
        """The whole object, or None."""
        with self._asked():
            data = self.objects.get(key)
            if data is not None and len(data) > layout.most(key):
                why = f"It is more than {layout.most(key) >> 20} MiB, and nothing of this kind is so large."
                raise Oversized(f"{self.name} could not get {key}", why, "Find out who put it there.")
            return data

    def exists(self, key: str) -> bool:
        """Whether `key` is there."""
        with self._asked():
            return key in self.objects

    def list(self, prefix: str) -> list[str]:
        """Keys with this prefix, in order."""
        with self._asked():
            return sorted(key for key in self.objects if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Remove `key`; no error when absent."""
        with self._asked():
            self.objects.pop(key, None)

    def erase(self, key: str) -> None:
        """Nothing older is kept."""
        self.delete(key)

    def close(self) -> None:
        """Nothing is answered any more."""
        self._closed = True

    @contextmanager
    def _asked(self) -> Iterator[None]:
        if self._closed:
            raise VaultError(f"{self.name} is not asked any more", "It was closed.", "Open it again.")
        with self._lock:
            yield
