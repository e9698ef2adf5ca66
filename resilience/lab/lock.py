"""One lab at a time on one machine: who has it, and since when."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from resilience.errors import Locked
from resilience.lab import places

PATH = Path(f"/run/resilience-lab{places.INSTANCE}.lock")


class LabLock:
    """Held by whoever makes, breaks or removes the lab."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path
        self._file: IO[str] | None = None

    @property
    def held(self) -> bool:
        """Whether this process holds it."""
        return self._file is not None

    def take(self, directory: Path) -> None:
        """Take it at once, or say who has it."""
        while self._file is None:
            file = self._path.open("a+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                raise self._taken() from None
            if self._is_current(file):
                self._file = file
                self._sign(file, directory)
            else:
                file.close()

    def give_back(self) -> None:
        """Release it, leaving no file."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            fcntl.flock(self._file, fcntl.LOCK_UN)
            self._file.close()
            self._file = None

    def _is_current(self, file: IO[str]) -> bool:
        """The file may have been removed by its last holder just before we locked it."""
        with suppress(FileNotFoundError):
            return self._path.stat().st_ino == os.fstat(file.fileno()).st_ino
        return False

    def _sign(self, file: IO[str], directory: Path) -> None:
        file.seek(0)
        file.truncate()
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
        json.dump(
            {"pid": os.getpid(), "command": command, "directory": str(directory), "since": time.strftime("%H:%M:%S")},
            file,
        )
        file.flush()

    def _taken(self) -> Locked:
        who = {}
        with suppress(OSError, ValueError):
            who = json.loads(self._path.read_text())
        by = f"process {who.get('pid', 'unknown')} ({who.get('command', 'unknown')})"
        return Locked(
            "The lab is in use",
            f"{by} has had it since {who.get('since', 'some time')}, in {who.get('directory', 'unknown')}.",
            "Wait until it is done, or end that process; there is one lab on a machine.",
        )
