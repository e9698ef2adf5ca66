"""Couriers: one thread a vault, so that a slow or dead vault never delays another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

import structlog

from resilience.errors import ResilienceError, VaultError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import chunk, layout, lsn
from resilience.replication.lease import Lease
from resilience.replication.metrics import Meter
from resilience.replication.spool import Hole, Spool

BATCH = 8
"""Chunks put in a row before one look for a newer epoch."""
PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
log = structlog.get_logger()


class Foreign(ResilienceError):
    """Another spool has already shipped under this epoch into a vault."""


class Move(Enum):
    """What a courier does next."""

    BEGIN = auto()
    PUT = auto()
    LOOK = auto()
    REST = auto()


class Progress(NamedTuple):
    """How far a courier is with its vault."""

    begun: bool = False
    """The vault holds the start record."""
    put: int = 0
    """Position up to which chunks were put."""
    counted: int = 0
    """Position after which a look found no newer epoch: only this may ever be confirmed."""
    row: int = 0
    """Chunks put since the last look."""


def next_move(progress: Progress, *, more: bool, mended: bool = False) -> Move:
    """Put first and look after: an epoch that is sealed in between is then seen, or the chunk is found by its sealer.

    So after what somebody else put into a vault that was left behind (`mended`).
    """
    if not progress.begun:
        return Move.BEGIN
    if more and progress.row < BATCH:
        return Move.PUT
    return Move.LOOK if progress.row or mended else Move.REST


def after_begin(progress: Progress, position: int) -> Progress:
    """The epoch's records are there; they too count only after a look."""
    return progress._replace(begun=True, put=position, row=1)


def after_put(progress: Progress, end: int) -> Progress:
    """One more chunk is there."""
    return progress._replace(put=end, row=progress.row + 1)


def after_look(progress: Progress, *, clean: bool) -> Progress:
    """What was put counts, unless there is a newer epoch: then it may lie past the recorded end, and never counts."""
    return progress._replace(counted=progress.put if clean else progress.counted, row=0)


class Courier(threading.Thread):
    """Puts one vault's chunks in the order of their positions, the very bytes of the spool."""

    def __init__(
        self, vault: Vault, spool: Spool, record: EpochRecord, lease: Lease, moved: Callable[[], None]
    ) -> None:
        super().__init__(name=f"courier-{vault.name}", daemon=True)
        self.vault = vault
        self.error: str | None = None
        self.failures = 0
        self.meter = Meter()
        self._spool = spool
        self._record = record
        self._lease = lease
        self._moved = moved
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._told_unread = False
        self._emptied = 0
        """How often the vault had been found emptied when it was last begun with."""
        self.progress = Progress()

    @property
    def put_upto(self) -> int:
        """Position up to which this vault was given chunks, whether or not they count."""
        return max(self.progress.put, self._spool.held()[self.vault.name])

    def nudge(self) -> None:
        """There is something new in the spool."""
        self._wake.set()

    def stop(self) -> None:
        """End after the put under way."""
        self._stopping.set()
        self._wake.set()

    def run(self) -> None:
        """Put until stopped; a failure waits a little longer each time, and says so once."""
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                worked = self._move()
            except (ResilienceError, OSError) as error:
                self._failed(error)
                self._stopping.wait(PAUSES[min(self.failures, len(PAUSES)) - 1])
                continue
            if worked and self.failures:
                log.info("vault is back", vault=self.vault.name, failures=self.failures)
                self.failures, self.error = 0, None
            if not worked:
                self._wake.wait()

    def _failed(self, error: ResilienceError | OSError) -> None:
        self.failures += 1
        self.meter.failed(error)
        if isinstance(error, OSError):
            error = ResilienceError("The spool cannot be used", str(error), "Make room.")
        self.error = f"{error.what}: {error.why}"
        if self.failures == 1 or self.failures % 60 == 0:
            log.warning("vault fails", vault=self.vault.name, what=error.what, why=error.why, failures=self.failures)

    def _move(self) -> bool:
        """Make the next move; False when there is nothing to do."""
        if (times := self._lease.emptied.times(self.vault.name)) != self._emptied:  # the epoch's records are gone, too
            self._emptied, self.progress = times, Progress()
        progress = self.progress
        found = self._spool.next_for(self.vault.name, after=progress.put) if progress.begun else None
        mended = self._spool.mended(self.vault.name)
        match next_move(progress, more=found is not None, mended=mended is not None):
            case Move.BEGIN:
                return self._begin()
            case Move.PUT if found is not None:
                start, end, data = found
                self._put(layout.chunk(self._record.number, start), data)
                self.progress = after_put(progress, end)
            case Move.LOOK:
                clean = self._lease.look(self.vault)
                self.progress = after_look(progress, clean=clean)
                if clean:
                    self._spool.advance(self.vault.name, self.progress.counted)
                    if mended is not None:
                        self._fill(mended)
                    self._moved()
                elif not progress.row:  # nothing new to look after: the next nudge asks again
                    return False
            case _:
                return False
        return True

    def _begin(self) -> bool:
        """Put the start record before the first chunk; False while there is none yet."""
        data = self._spool.start_record
        if data is None:
            return False
        number = self._record.number
        begun, held = chunk.decode_start(data, self._record), self._spool.held()[self.vault.name]
        if begun is not None and held > begun.start and self._is_bare():
            self._lease.emptied.tell(self.vault.name)
        if self._spool.opening_record is not None:
            self._put(layout.opening(number), self._spool.opening_record)
        self._put(layout.first(number), data)
        self._put(layout.life(number, self._spool.life), self._spool.life_record)
        self.progress = after_begin(self.progress, held)
        return True

    def _is_bare(self) -> bool:
        """Whether a vault that was given chunks, and the start record before them, shows neither that nor the epoch.

        An epoch that cannot be read is none: without the start record it lacks what it was given, whatever lies there.
        """
        if self.vault.get(layout.first(self._record.number)) is not None:
            return False
        try:
            return not self._lease.emptied.shows(self.vault)
        except VaultError:
            return True

    def _fill(self, hole: Hole) -> None:
        """Count the vault again."""
        self._refuse_unshown(hole)
        self._spool.fill(self.vault.name, hole)
        log.warning("a vault has caught up", vault=self.vault.name)

    def _refuse_unshown(self, hole: Hole) -> None:
        """A vault that was emptied counts for nothing before the epoch is there again, whoever says that it was filled."""
        if hole.emptied and not self._lease.emptied.shows(self.vault):
            raise VaultError(
                f"{self.vault.name} was filled, and does not show epoch {self._record.number}",
                "its object was removed with all else, and is not there again",
                f"Run `resilience catch-up {self.vault.name}` again.",
            )

    def _put(self, key: str, data: bytes) -> None:
        """Put an object once; what is already there must be this very object."""
        with self.meter.put(len(data)):
            created = self.vault.put_new(key, data)
        if not created and not self._is(key, data):
            raise Foreign(
                f"{self.vault.name} already holds another {key} that is not from this spool.",
                "The spool was lost, this machine was rolled back, or a second ship is at work under the same epoch.",
                "Stop the other ship; seal a new epoch for this site and start again.",
            )

    def _is(self, key: str, data: bytes) -> bool:
        """Whether an object is the one that was to be put; believed where chunks cannot be read back."""
        try:
            return self.vault.get(key) == data
        except VaultError as error:
            if layout.chunk_start(key) is None and key != layout.opening(self._record.number):
                raise
            if not self._told_unread:
                log.info("chunks cannot be read back", vault=self.vault.name, why=error.why)
            self._told_unread = True
            return True


def start_record(record: EpochRecord, position: int, timeline: int, system_id: str, history: str) -> chunk.Start:
    """The facts an epoch's own WAL begins with."""
    return chunk.Start(record.number, record.nonce, position, timeline, system_id, history, time.time())


def switch_point(history: str) -> int:
    """Where the timeline left its parent: the last line of its history file."""
    lines = [line.split() for line in history.splitlines() if line.strip() and not line.startswith("#")]
    return lsn.parse(lines[-1][1])
