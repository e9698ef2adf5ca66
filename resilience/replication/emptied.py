"""Emptied: vaults that showed this site's epoch and do not any more, so what they held is gone, or is what it was long ago.

Ship puts each object once and asks for none again, so it would count such a vault for ever. An object that was put never
leaves by itself, and a 404 is no listing that lags: what is absent several times in a row was removed.

    spool/<epoch>/emptied/<vault>    it was emptied, and is not left behind yet; there before anything is put there again
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import structlog

from resilience.errors import ResilienceError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import epoch as epochs
from resilience.replication.config import write_atomic
from resilience.replication.seals import Verify

EVERY = 60.0
"""Seconds between two questions to one vault that shows its epoch."""
SURE = 3
"""So many times in a row, a look apart, the epoch must be absent: one odd answer empties nothing."""
log = structlog.get_logger()


class Emptied:
    """Knows which vaults showed the epoch, and which of them do not any more."""

    def __init__(self, record: EpochRecord, verify: Verify, notes: Path | None = None) -> None:
        self._record = record
        self._verify = verify
        self._lock = threading.Lock()
        self._asked: dict[str, float] = {}
        self._shown = set[str]()
        """One that was silent when the epoch was sealed may never show it, and lacks nothing for that."""
        self._absent = Counter[str]()
        self._times = Counter[str]()
        self._notes = notes
        for name in self._noted():  # by a ship before this one
            self._find(name)

    @property
    def names(self) -> frozenset[str]:
        """Vaults that do not show the epoch any more; none once it is there again."""
        with self._lock:
            return frozenset(name for name, times in self._absent.items() if times >= SURE)

    def times(self, name: str) -> int:
        """How often this vault was found emptied."""
        with self._lock:
            return self._times[name]

    def look(self, vault: Vault) -> None:
        """Ask one vault, if it was not asked for a minute; each time as long as the epoch is absent."""
        asked = self._asked.get(vault.name)
        if asked is None or self._absent[vault.name] or time.monotonic() >= asked + EVERY:
            self.shows(vault)

    def shows(self, vault: Vault) -> bool:
        """Whether it shows the epoch, asked now."""
        try:
            there = epochs.read(vault, self._record.number, self._verify) is not None
        finally:
            self._asked[vault.name] = time.monotonic()
        with self._lock:
            if there:
                self._shown.add(vault.name)
                self._absent[vault.name] = 0
                self._forget(vault.name)
            elif vault.name in self._shown:
                if self._absent[vault.name] == SURE - 1:
                    self._find(vault.name)
                else:
                    self._absent[vault.name] += 1
        return there

    def tell(self, name: str) -> None:
        """This vault lacks what it was given before this ship began."""
        with self._lock:
            if self._absent[name] < SURE:
                self._find(name)

    def left(self, name: str) -> None:
        """The vault was left behind: what it lacks is noted there from now on."""
        with self._lock:
            self._forget(name)

    def _find(self, name: str) -> None:
        self._note(name)
        self._shown.add(name)
        self._absent[name] = SURE
        self._times[name] += 1
        log.error("a vault was emptied", vault=name, epoch=self._record.number)

    def _noted(self) -> list[str]:
        if self._notes is None or not self._notes.is_dir():
            return []
        return [name for name in self._record.vaults if (self._notes / name).exists()]

    def _note(self, name: str) -> None:
        if self._notes is None or (self._notes / name).exists():
            return
        try:
            write_atomic(self._notes / name, b"")
        except OSError as error:
            raise ResilienceError("The spool cannot be used", str(error), "Make room.") from error

    def _forget(self, name: str) -> None:
        if self._notes is not None:
            (self._notes / name).unlink(missing_ok=True)
