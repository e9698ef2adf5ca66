"""The spool: chunks on this host's disk, written once, until every vault has them.

    spool/<epoch>/wal/<start>-<end>    the chunk's object, byte for byte as it is put
    spool/<epoch>/start                the start record, likewise
    spool/<epoch>/at/<vault>           position up to which that vault holds everything

A vault's position may be lost (it is not fsynced): the same bytes are then put again, and
the vault answers that they are there. A chunk's file is durable before any vault sees it.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from resilience.replication import lsn


class Spool:
    """Chunks of one epoch that some vault may still lack."""

    def __init__(self, folder: Path, epoch: int, vaults: Iterable[str]) -> None:
        self._folder = folder / f"{epoch:08d}"
        self._wal = self._folder / "wal"
        self._at = self._folder / "at"
        for part in (self._wal, self._at):
            part.mkdir(parents=True, exist_ok=True)
        self._lock = Lock()
        for half_written in self._wal.glob("*.new"):
            half_written.unlink()
        names = sorted(path.name for path in self._wal.iterdir())
        self._chunks = [(int(n[:16], 16), int(n[17:], 16)) for n in names]
        self._held = {vault: self._read_position(vault) for vault in vaults}
        self._floor = 0

    @property
    def start_record(self) -> bytes | None:
        """The start record that this spool began with; None when nothing was shipped from here."""
        path = self._folder / "start"
        return path.read_bytes() if path.exists() else None

    def begin(self, record: bytes) -> None:
        """Keep the start record, durably, before anything is put."""
        write_durably(self._folder / "start", record)

    def floor(self, position: int) -> None:
        """Nothing before `position`, where the epoch's WAL begins, is owed to any vault."""
        with self._lock:
            self._floor = position
            self._held = {vault: max(held, position) for vault, held in self._held.items()}

    @property
    def end(self) -> int:
        """Where the next chunk begins."""
        with self._lock:
            return self._chunks[-1][1] if self._chunks else max(self._held.values())

    def add(self, start: int, end: int, data: bytes) -> None:
        """Keep a chunk, durably."""
        write_durably(self._path(start, end), data)
        with self._lock:
            self._chunks.append((start, end))

    def next_for(self, vault: str, after: int | None = None) -> tuple[int, int, bytes] | None:
        """The first chunk that this vault lacks (past `after`): start, end, bytes."""
        with self._lock:
            index = self._first_lacking(vault, after)
            found = self._chunks[index] if index < len(self._chunks) else None
        return None if found is None else (*found, self._path(*found).read_bytes())

    def advance(self, vault: str, position: int) -> None:
        """The vault holds everything up to `position`; forget what all vaults hold."""
        path = self._at / vault
        new = path.with_name(f".{vault}.new")
        new.write_text(lsn.show(position))
        new.replace(path)
        with self._lock:
            self._held[vault] = position
            everywhere = min(self._held.values())
            done = [chunk for chunk in self._chunks[:-1] if chunk[1] <= everywhere]
            self._chunks = self._chunks[len(done) :]
        for chunk in done:
            self._path(*chunk).unlink(missing_ok=True)

    def held(self) -> dict[str, int]:
        """Position of each vault."""
        with self._lock:
            return dict(self._held)

    def confirmed(self, k: int) -> int:
        """Position that k vaults hold without a hole."""
        return sorted(self.held().values(), reverse=True)[k - 1]

    def oldest_lacking(self, vault: str) -> float | None:
        """When the first chunk that this vault lacks was made; None when it lacks none."""
        with self._lock:
            index = self._first_lacking(vault)
            found = self._chunks[index] if index < len(self._chunks) else None
        path = None if found is None else self._path(*found)
        return path.stat().st_mtime if path is not None and path.exists() else None

    def shipped(self, k: int) -> bool:
        """Whether k vaults hold at least one chunk of this epoch."""
        return self.confirmed(k) > self._floor

    def backlog(self, vault: str) -> tuple[int, int]:
        """Chunks and stored bytes that a vault still lacks."""
        with self._lock:
            pending = self._chunks[self._first_lacking(vault) :]
        sizes = [p.stat().st_size for c in pending if (p := self._path(*c)).exists()]
        return len(pending), sum(sizes)

    def _first_lacking(self, vault: str, after: int | None = None) -> int:
        held = self._held[vault] if after is None else after
        return bisect_right(self._chunks, held, key=lambda chunk: chunk[1])

    def _path(self, start: int, end: int) -> Path:
        return self._wal / f"{start:016X}-{end:016X}"

    def _read_position(self, vault: str) -> int:
        """What was noted, but never before the oldest chunk kept: older ones all vaults held."""
        try:
            noted = lsn.parse((self._at / vault).read_text())
        except (OSError, ValueError):
            noted = 0
        return max(noted, self._chunks[0][0] if self._chunks else 0)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file so that it is there, whole, after a power cut."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
