"""WAL segment files, put together from chunks for Postgres to read.

Postgres' user owns the folder, since it removes there what it needs no more, and who rules a primary's database runs what he likes
as that user. So root opens the folder and acts on what it opened, follows no link, makes files anew, and writes only into
Postgres' own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from resilience.replication import lsn
from resilience.replication.appfolders import MISPLACED, READ, REFUSED, Misplaced, new, opened, refuse_other

WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
OWNER = "Postgres' user"


class Segments:
    """A folder of segment files, zero-padded; bytes may arrive in any order."""

    def __init__(self, folder: Path, segment_size: int, owner: tuple[int, int] | None = None) -> None:
        self.size = segment_size
        self._owner = owner
        self.folder = folder
        self._lock = Lock()
        with suppress(FileExistsError):  # a link that leads nowhere, too
            folder.mkdir(parents=True, exist_ok=True)
        with self._at(folder) as there:
            if owner is not None:
                os.fchown(there, *owner)

    def write(self, timeline: int, start: int, wal: bytes) -> None:
        """Write WAL at a position, across segments."""
        view = memoryview(wal)
        while view:
            part = view[: self.size - start % self.size]
            path = self.path(timeline, start)
            with self._at(path) as folder, self._to_write(folder, path) as fd:
                written = os.pwrite(fd, part, start % self.size)  # less, where a disk is nearly full
            start += written
            view = view[written:]

    def read(self, timeline: int, start: int, end: int) -> bytes:
        """WAL from `start` up to `end`, as far as files are there."""
        parts = []
        while start < end:
            upto = min(end, lsn.segment_start(start, self.size) + self.size)
            try:
                with self._to_read(self.path(timeline, start)) as fd:
                    parts.append(os.pread(fd, upto - start, start % self.size))
            except FileNotFoundError:
                break
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
        with self._at(path) as folder, self._anew(folder, path.name) as fd:
            with open(fd, "w", closefd=False, encoding="utf-8") as file:
                file.write(history)
            os.fsync(fd)

    def move(self, folder: Path) -> Segments:
        """Bring all of it to another folder of this file system: into `pg_wal`, where Postgres reads it in place."""
        moved = Segments(folder, self.size, self._owner)
        with self._at(self.folder) as here, moved._at(folder) as there:
            for name in _names(here):
                if not name.startswith("."):  # what is half made
                    os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)
        return moved

    def flush(self, timeline: int, start: int, end: int) -> None:
        """Make the segments durable that hold what was written there, under their names."""
        for position in range(lsn.segment_start(start, self.size), end, self.size):
            with suppress(FileNotFoundError):  # Postgres needs it no more
                self._sync(self.path(timeline, position))
        with self._at(self.folder) as folder:
            os.fsync(folder)

    def go_past(self, timeline: int, end: int) -> bool:
        """Whether there is WAL of this timeline past `end`, which may have been replayed."""
        upto = lsn.segment_start(end, self.size) + self.size
        if self.read(timeline, end, upto).strip(b"\0"):
            return True
        with self._at(self.folder) as folder:
            return bool(_after(folder, self.path(timeline, end).name))

    def cut(self, timeline: int, end: int) -> None:
        """Leave nothing of this timeline past `end`: a chunk behind an accepted hole must not be replayed."""
        last = self.path(timeline, end)
        with self._at(last) as folder:
            for name in _after(folder, last.name):
                os.unlink(name, dir_fd=folder)
            with suppress(FileNotFoundError):
                if not end % self.size:
                    os.unlink(last.name, dir_fd=folder)
                    return
                with self._own(folder, last) as fd:
                    os.ftruncate(fd, end % self.size)
                    os.ftruncate(fd, self.size)

    @contextmanager
    def _at(self, path: Path) -> Iterator[int]:
        """The folder, for what has to do with `path`: an error names that, Misplaced where something has its name that nobody of ours puts there."""
        try:
            with opened(self.folder) as folder:
                yield folder
        except OSError as error:
            if error.errno in MISPLACED | REFUSED and not isinstance(error, FileNotFoundError):
                raise Misplaced(path, os.strerror(error.errno), OWNER) from error
            error.filename = str(path)  # else nobody knows whose disk it is
            raise

    @contextmanager
    def _to_read(self, path: Path) -> Iterator[int]:
        with self._at(path) as folder, _opened(path, READ, folder) as fd:
            refuse_other(path, os.fstat(fd), None, OWNER)
            yield fd

    def _sync(self, path: Path) -> None:
        with self._to_read(path) as fd:
            os.fsync(fd)

    @contextmanager
    def _to_write(self, folder: int, path: Path) -> Iterator[int]:
        """The segment's file, made where it is missing."""
        with self._lock:
            try:
                os.stat(path.name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                with self._anew(folder, path.name) as made:
                    os.ftruncate(made, self.size)
        with self._own(folder, path) as fd:
            yield fd

    @contextmanager
    def _own(self, folder: int, path: Path) -> Iterator[int]:
        """A file of Postgres' own and of no other name, to be written: it could do so itself."""
        with _opened(path, WRITE, folder) as fd:
            found = os.fstat(fd)
            refuse_other(path, found, os.geteuid() if self._owner is None else self._owner[0], OWNER)
            if found.st_nlink > 1:
                raise Misplaced(path, "a file that has another name as well", OWNER)
            if found.st_size < self.size:
                os.ftruncate(fd, self.size)
            yield fd

    @contextmanager
    def _anew(self, folder: int, name: str) -> Iterator[int]:
        """A new file, which gets its name once it is whole and Postgres' own."""
        aside = f".{name}.new"
        fd = new(folder, aside)
        try:
            yield fd
            os.fchmod(fd, 0o640)
            if self._owner is not None:
                os.fchown(fd, *self._owner)
        finally:
            os.close(fd)
        os.rename(aside, name, src_dir_fd=folder, dst_dir_fd=folder)


@contextmanager
def _opened(path: Path, how: int, folder: int) -> Iterator[int]:
    fd = os.open(path.name, how, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def _after(folder: int, segment: str) -> list[str]:
    """The segments of the same timeline after this one."""
    return [n for n in _names(folder) if len(n) == len(segment) and n[:8] == segment[:8] and n > segment]


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]
