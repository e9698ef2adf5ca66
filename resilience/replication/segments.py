"""WAL segment files, put together from chunks for Postgres to read."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from threading import Lock

from resilience.replication import lsn
from resilience.replication.config import sync


class Segments:
    """A folder of segment files, zero-padded; bytes may arrive in any order."""

    def __init__(self, folder: Path, segment_size: int, owner: tuple[int, int] | None = None) -> None:
        self.size = segment_size
        self._owner = owner
        self.folder = folder
        self._lock = Lock()
        folder.mkdir(parents=True, exist_ok=True)
        if owner is not None:
            os.chown(folder, *owner)

    def write(self, timeline: int, start: int, wal: bytes) -> None:
        """Write WAL at a position, across segments."""
        view = memoryview(wal)
        while view:
            part = view[: self.size - start % self.size]
            fd = self._open(timeline, start)
            try:
                written = _write(fd, part, start % self.size, self.path(timeline, start))
            finally:
                os.close(fd)
            start += written
            view = view[written:]

    def read(self, timeline: int, start: int, end: int) -> bytes:
        """WAL from `start` up to `end`, as far as files are there."""
        parts = []
        while start < end:
            path = self.path(timeline, start)
            upto = min(end, lsn.segment_start(start, self.size) + self.size)
            if not path.exists():
                break
            with path.open("rb") as file:
                file.seek(start % self.size)
                parts.append(file.read(upto - start))
            start = upto
        return b"".join(parts)

    def path(self, timeline: int, position: int) -> Path:
        """The file of the segment that holds `position`."""
        return self.folder / lsn.segment_name(timeline, position, self.size)

    def branch(self, timeline: int, parent: int, switch: int, history: str) -> None:
        """Begin a timeline: its history file, and its parent's bytes before the switch point."""
        self.name(timeline, history)
        start = lsn.segment_start(switch, self.size)
        if switch > start:
            self.write(timeline, start, self.read(parent, start, switch))

    def name(self, timeline: int, history: str) -> None:
        """Keep a timeline's history file, durable with the next flush: no other timeline gets its number."""
        path = self.folder / f"{timeline:08X}.history"
        path.write_text(history)
        if self._owner is not None:
            os.chown(path, *self._owner)
        sync(path)

    def move(self, folder: Path) -> Segments:
        """Bring all of it to another folder of this file system: into `pg_wal`, where Postgres reads it in place."""
        into = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            for path in list(self.folder.iterdir()):
                os.rename(path, path.name, dst_dir_fd=into)
        finally:
            os.close(into)
        return Segments(folder, self.size, self._owner)

    def flush(self, timeline: int, start: int, end: int) -> None:
        """Make the segments durable that hold what was written there, under their names."""
        for position in range(lsn.segment_start(start, self.size), end, self.size):
            with suppress(FileNotFoundError):  # Postgres needs it no more
                sync(self.path(timeline, position))
        sync(self.folder)

    def go_past(self, timeline: int, end: int) -> bool:
        """Whether there is WAL of this timeline past `end`, which may have been replayed."""
        upto = lsn.segment_start(end, self.size) + self.size
        return bool(self.read(timeline, end, upto).strip(b"\0") or self._after(self.path(timeline, end)))

    def cut(self, timeline: int, end: int) -> None:
        """Leave nothing of this timeline past `end`: a chunk behind an accepted hole must not be replayed."""
        last = self.path(timeline, end)
        for path in self._after(last):
            path.unlink()
        if last.exists() and end % self.size:
            os.truncate(last, end % self.size)
            os.truncate(last, self.size)
        elif last.exists():
            last.unlink()

    def _after(self, segment: Path) -> list[Path]:
        """The segments of the same timeline after this one."""
        return [path for path in self.folder.glob(segment.name[:8] + "?" * 16) if path.name > segment.name]

    def _open(self, timeline: int, position: int) -> int:
        path = self.path(timeline, position)
        with self._lock:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
            if os.fstat(fd).st_size < self.size:
                os.ftruncate(fd, self.size)
                if self._owner is not None:
                    os.fchown(fd, *self._owner)
        return fd


def _write(fd: int, part: memoryview, offset: int, path: Path) -> int:
    """How much of it was written: a disk that is nearly full takes what there is room for, and the rest is asked for again."""
    try:
        return os.pwrite(fd, part, offset)
    except OSError as error:
        error.filename = str(path)  # else nobody knows whose disk it is
        raise
