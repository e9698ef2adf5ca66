"""Readers: one thread a vault, which asks for the next chunk by its exact name; the counterpart of a courier."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import structlog

from resilience.errors import ResilienceError, VaultError
from resilience.ports import Vault
from resilience.replication import chunk, disk, layout, lsn
from resilience.replication.chunk import Header
from resilience.replication.courier import PAUSES
from resilience.replication.incoming import Incoming
from resilience.replication.metrics import error_class
from resilience.replication.objects import keep, object_path
from resilience.replication.originals import Altered, AsPut, read_good

IDLE = 0.5
"""Seconds between questions while nothing is written."""
LIVELY = 2.0
"""For so long after a chunk the next one is asked for at the primary's own spacing."""
SKIP = 5.0
"""A vault that lacks a chunk for so long, while others are past it, has a hole there."""
ALTERED, FORKED = "Altered", "Forked"
log = structlog.get_logger()


class Reader(threading.Thread):
    """Reads one vault's chunks in the order of their positions."""

    def __init__(
        self, vault: Vault, incoming: Callable[[], Incoming], folder: Path, spacing: float, identity: str
    ) -> None:
        super().__init__(name=f"reader-{vault.name}", daemon=True)
        self.vault = AsPut(vault, layout.near)
        self.error: str | None = None
        self.failures = 0
        self.holes = 0
        self.full: str | None = None
        """What to do where chunks can't be kept, because the disk is full."""
        self.errors: Counter[str] = Counter()
        """Questions that failed, by class, and chunks that came altered, or are others than elsewhere."""
        self._incoming = incoming
        self._folder = folder
        self._identity = identity
        self._spacing = spacing
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._at: tuple[Incoming, int] | None = None
        self._lacking_since = 0.0
        self._told: set[str] = set()
        self._lively_until = 0.0

    def nudge(self) -> None:
        """Another vault has something new."""
        self._wake.set()

    def stop(self) -> None:
        """End after the question under way."""
        self._stopping.set()
        self._wake.set()

    @property
    def position(self) -> int:
        """Up to where this vault was read."""
        return self._at[1] if self._at else 0

    def run(self) -> None:
        """Read until stopped; a vault that fails is asked again, a little later each time."""
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                found = self.step()
            except Exception as error:  # noqa: BLE001 - whatever a vault makes of it is told, and it is asked again
                self._failed(error)
                self._stopping.wait(PAUSES[min(self.failures, len(PAUSES)) - 1])
                continue
            if self.failures:
                log.info("vault is back", vault=self.vault.name, failures=self.failures)
                self.failures, self.error, self.full = 0, None, None
            if not found:
                self._wake.wait(self._spacing if time.monotonic() < self._lively_until else IDLE)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.full = None
        if isinstance(error, OSError) and error.errno in disk.FULL:
            error = disk.full(self._folder, then=disk.GOES_ON)
            self.full = f"{error.what} {error.why} {error.next}"
        self.errors[error_class(error)] += 1
        self.error = f"{error.what}: {error.why}" if isinstance(error, ResilienceError) else repr(error)
        if self.failures == 1 or self.failures % 60 == 0:
            log.warning(
                "what it holds cannot be kept" if self.full else "vault cannot be read",
                vault=self.vault.name,
                why=self.error,
                failures=self.failures,
                exc_info=None if isinstance(error, ResilienceError) else error,
            )

    def step(self) -> bool:
        """Ask for one chunk; False when the vault has no more for now."""
        incoming = self._incoming()
        if self._at is None or self._at[0] is not incoming:
            self._at = (incoming, self._boundary(incoming))
        start = self._at[1]
        if incoming.limit is not None and start >= incoming.limit:
            return False
        header = self._ask(incoming, start)
        if header is None:
            if incoming.doubtful(self.vault.name) and self.vault.get(self._newer(incoming)) is None:
                incoming.looked(self.vault.name)
            return self._pass_over(incoming, start)
        self._lacking_since = 0.0
        self._lively_until = time.monotonic() + LIVELY
        self._at = (incoming, header.end)
        return True

    def _newer(self, incoming: Incoming) -> str:
        """The name of the epoch after: whoever seals it leaves it where chunks are read."""
        return layout.epoch(incoming.leg.record.number + 1)

    def _boundary(self, incoming: Incoming) -> int:
        """Where the chunk begins that holds the first position wanted: names are told by a listing, near it."""
        number, position = incoming.leg.record.number, incoming.position
        if position == incoming.leg.start.start:
            return position
        for near in (position, position - layout.NEAR, position - 2 * layout.NEAR):
            starts = [layout.chunk_start(key) for key in self.vault.list(layout.chunks_near(number, max(near, 0)))]
            if found := max((s for s in starts if s is not None and s <= position), default=None):
                return found
        return position

    def _ask(self, incoming: Incoming, start: int) -> Header | None:
        """The chunk at this position when the vault has it whole, and no vault has another one there."""
        key = layout.chunk(incoming.leg.record.number, start)
        read = read_good(self.vault, key, lambda data: _at(start, chunk.decode(data, incoming.leg.record)))
        if read is None:
            return None
        if isinstance(read, Altered):
            self._tell(ALTERED, key, "an altered chunk", start)
            return None
        data, found = read
        known = incoming.known(start)
        if known != found[0] and not self._opens(incoming, *found):
            return None
        if known is None:
            keep(self._folder, found[0], data)
        if not incoming.holds(self.vault.name, found[0]):
            self._tell(FORKED, key, "another chunk than other vaults hold", start)
            if known is None:
                object_path(self._folder, found[0]).unlink(missing_ok=True)
            return None
        return found[0]

    def _opens(self, incoming: Incoming, header: Header, body: bytes) -> bool:
        """Whether this is WAL of the leg; what its site signed and nobody can open counts as altered."""
        try:
            chunk.refuse_other(header, incoming.leg.start)
            chunk.open_body(header, body, self._identity)
        except VaultError as error:
            self._tell(
                ALTERED, layout.chunk(header.epoch, header.start), f"an altered chunk: {error.what}", header.start
            )
            return False
        return True

    def _tell(self, what: str, key: str, event: str, start: int) -> None:
        if key not in self._told:
            log.warning(event, vault=self.vault.name, start=lsn.show(start))
        self._told.add(key)
        self.errors[what] += 1

    def _pass_over(self, incoming: Incoming, start: int) -> bool:
        """Go on behind what only this vault lacks, once it lacked it for a while.

        Where no chunk is known to begin, one is bound to begin at the end of what was delivered: this vault had nothing
        near where the standby began, or is so far behind that the chunk was forgotten.
        """
        known = incoming.known(start)
        end = incoming.position if known is None else known.end
        if not start < end <= incoming.position:
            self._lacking_since = 0.0
            return False
        now = time.monotonic()
        self._lacking_since = self._lacking_since or now
        if now < self._lacking_since + SKIP:
            return False
        log.warning("a hole in this vault", vault=self.vault.name, start=lsn.show(start))
        self.holes += 1
        self._lacking_since = 0.0
        self._at = (incoming, end)
        return True


def _at(start: int, found: tuple[Header, bytes] | None) -> tuple[Header, bytes] | None:
    """A chunk that begins where its name says."""
    return found if found is not None and found[0].start == start < found[0].end else None
