"""The journal as a file: one JSON object a line, only ever appended to.

A line is written in one piece under a lock and is on the disk before `append` returns. A crash can
therefore only leave the last line torn; nobody was told that such a line was kept, so the reader leaves it
out and the next append removes it. A bad line anywhere else means that the file was altered: it is refused.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resilience.errors import ResilienceError
from resilience.model import Event


class JournalDamaged(ResilienceError):
    """A line that is not the last one can't be read: the file was altered."""


class JournalFile:
    """A journal in one file; several processes may append to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: Event) -> None:
        """Keep one event, durably, before returning."""
        line = json.dumps(event.to_json(), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        with self._locked() as handle:
            _mend(handle)
            _write_all(handle, line.encode() + b"\n")
            os.fsync(handle)

    def read(self) -> list[Event]:
        """All events so far, in order; a torn last line is left out."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        *whole, torn = content.split(b"\n")
        events = [self._parsed(number, line) for number, line in enumerate(whole, start=1)]
        try:
            return [*events, _event(torn)] if torn else events
        except ValueError:
            return events

    def _parsed(self, number: int, line: bytes) -> Event:
        try:
            return _event(line)
        except ValueError as error:
            raise JournalDamaged(
                f"{self.path}, line {number}: this is no line of a journal",
                f"{error}. Only a last line may be torn by a crash; this one was altered.",
                "Get the journal from another copy, or judge the lines before it from a copy that ends there.",
            ) from error

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The open file, alone until the block ends."""
        new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if new:
                _sync_directory(self.path.parent)
            yield handle
        finally:
            os.close(handle)


def _event(line: bytes) -> Event:
    """One event; ValueError where the line is none."""
    found: Any = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError("it is not an object")  # noqa: TRY004 - one error for every line that is none of ours
    try:
        return Event.from_json(found)
    except (KeyError, TypeError) as error:
        raise ValueError(f"it has no usable `at` and `kind` ({error})") from error


def _mend(handle: int) -> None:
    """Take a torn last line away; end one that is whole and only lacks its line break."""
    size = os.fstat(handle).st_size
    start = size
    tail = b""
    while start > 0 and b"\n" not in tail:
        step = min(4096, start)
        start -= step
        tail = os.pread(handle, step, start) + tail
    torn = tail.rpartition(b"\n")[2]
    if not torn:
        return
    try:
        _event(torn)
    except ValueError:
        os.ftruncate(handle, size - len(torn))
    else:
        _write_all(handle, b"\n")


def _write_all(handle: int, data: bytes) -> None:
    """Write it whole; the file was opened to append."""
    while data:
        data = data[os.write(handle, data) :]


def _sync_directory(path: Path) -> None:
    """Make the file's name as durable as its lines."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
