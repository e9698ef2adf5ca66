"""The picture store: content-addressed files, handed to the shipper before any row names them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from resilience.plaza import files
from resilience.plaza.pictures import Picture

WANTED = "wanted"
"""Folder of the outbox, there while somebody brings pictures, for the names of those that were looked for in vain."""
MOST_WANTED = 1000
"""No more names wait there: whoever brings pictures takes them every few seconds, and may have been killed."""
MEDIA, KEY = "media", "key"
"""Kinds of what is handed over; the shipper takes keys first, and says of each when enough vaults hold it."""

log = structlog.get_logger()


class Store:
    """Pictures by the hash of their bytes."""

    def __init__(self, directory: Path, outbox: Path) -> None:
        self._directory = directory
        self._root = str(directory)
        self._outbox = outbox

    def path(self, sha256: str) -> Path:
        """Where the picture with this hash is, or would be."""
        return self._directory / sha256[:2] / sha256

    def read(self, sha256: str, most: int) -> bytes | None:
        """The first bytes of what has this hash, None where it can't be read; quick, for what every page reads many of."""
        try:
            handle = os.open(f"{self._root}/{sha256[:2]}/{sha256}", os.O_RDONLY)
            try:
                return os.read(handle, most)
            finally:
                os.close(handle)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("file not read", name=sha256, why=str(error))
            return None

    def has(self, sha256: str, size: int) -> bool:
        """Whether a file of this size has this name; its bytes are not read."""
        with suppress(OSError):
            return os.stat(f"{self._root}/{sha256[:2]}/{sha256}").st_size == size  # noqa: PTH116 - of a million, in a second
        return False

    @contextmanager
    def bringing_back(self) -> Iterator[Callable[[str, bytes], None]]:
        """Write what vaults have already, name and bytes, many at once; durable when it ends."""
        brought = False

        def bring_back(sha256: str, data: bytes) -> None:
            nonlocal brought
            files.replace(f"{self._root}/{sha256[:2]}", sha256, data)
            brought = True

        yield bring_back
        if brought:
            files.sync_all(self._directory)

    def put(self, picture: Picture, *, sync: bool = True) -> None:
        """Keep a picture durably and hand it to the shipper; without `sync`, the caller syncs later."""
        self.keep(picture.sha256, picture.data, sync=sync)

    def keep(self, sha256: str, data: bytes, kind: str = MEDIA, *, sync: bool = True) -> None:
        """The same of whatever has this hash."""
        path = self.path(sha256)
        files.publish(path, data, sync=sync)
        files.hand_over(path, self._outbox / kind / sha256, sync=sync)

    def want(self, sha256: str) -> None:
        """Tell whoever brings pictures that somebody looked for this one in vain, so that it comes next; nobody, where none are brought."""
        wanted = self._outbox / WANTED
        with suppress(OSError):
            if sum(1 for _ in wanted.iterdir()) < MOST_WANTED:
                (wanted / sha256).touch()

    def remove(self, sha256: str) -> bool:
        """Remove a picture, also from what waits to be shipped; True if it was there."""
        for kind in (MEDIA, KEY):
            (self._outbox / kind / sha256).unlink(missing_ok=True)
        path = self.path(sha256)
        if not path.exists():
            return False
        path.unlink(missing_ok=True)
        files.sync_directory(path.parent)
        return True

    def check(self, sha256: str) -> str:
        """`ok`, `missing` or `corrupt`, by reading the file."""
        try:
            with self.path(sha256).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return "missing"
        return "ok" if found == sha256 else "corrupt"
