"""A vault whose credentials open nothing: to whoever asks it is one that does not answer, and says why."""

from __future__ import annotations

from typing import NoReturn

from resilience.errors import ResilienceError, VaultSilent


class Unopened:
    """One vault that could not be opened; the others go on without it."""

    def __init__(self, name: str, error: ResilienceError) -> None:
        self.name = name
        self._error = error

    def put_new(self, key: str, data: bytes) -> bool:
        """Raise why not."""
        self._raise()

    def get(self, key: str) -> bytes | None:
        """Raise why not."""
        self._raise()

    def exists(self, key: str) -> bool:
        """Raise why not."""
        self._raise()

    def list(self, prefix: str) -> list[str]:
        """Raise why not."""
        self._raise()

    def delete(self, key: str) -> None:
        """Raise why not."""
        self._raise()

    def erase(self, key: str) -> None:
        """Raise why not."""
        self._raise()

    def close(self) -> None:
        """Nothing was opened."""

    def _raise(self) -> NoReturn:
        error = self._error
        raise VaultSilent(f"{error.what.rstrip('.')}: {error.why}", error.why, error.next) from error
