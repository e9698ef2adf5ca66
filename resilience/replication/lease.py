"""The lease: what lets a primary go on writing, and what stops it.

A newer epoch in any vault ends it at once. It lapses when too few vaults have lately
answered that there is none: n - s + 1 of them meet every quorum that could have sealed one.
It outlives the process (`tenure`): a ship that is started again may ask for as long as a lease before it stops Postgres
itself, and meanwhile the guard holds Postgres to what is noted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import structlog

from resilience.errors import ResilienceError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import epoch as epochs
from resilience.replication import tenure
from resilience.replication.emptied import Emptied
from resilience.replication.seals import Verify

log = structlog.get_logger()


NOTE_EVERY = 0.2


def now() -> float:
    """A clock that nobody sets and that also runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """Looks for a newer epoch, and knows until when there was none."""

    def __init__(
        self,
        record: EpochRecord,
        verify: Verify,
        seconds: float | None,
        since: Mapping[str, float] | None = None,
        note: Path | None = None,
        emptied: Path | None = None,
    ) -> None:
        self.superseded: EpochRecord | None = None
        self.following: EpochRecord | None = None
        """The epoch under which this very host goes on, with another vault set."""
        self.emptied = Emptied(record, verify, emptied)
        self._record = record
        self._verify = verify
        self._seconds = seconds
        self._needed = len(record.vaults) - record.s + 1
        self._changed = threading.Condition()
        self._note = note if seconds is not None else None
        self._first = self._asking = self._noted = 0.0
        if since is None and self._note is not None and seconds is not None:
            kept = tenure.begin(self._note, record.nonce, record.vaults, now(), seconds)
            since, self._first = kept.clean, kept.grace
            self._asking = now() + seconds
        self._clean = _known(since or {}, record.vaults)
        self._keep()

    def look(self, vault: Vault) -> bool:
        """Ask one vault; True when it shows no newer epoch, and none was seen elsewhere."""
        asked = now()
        child = newer = epochs.read(vault, self._record.number + 1, self._verify)
        last = self._record
        while newer is not None and epochs.continues(newer, last):
            last, newer = newer, epochs.read(vault, newer.number + 1, self._verify)
        with self._changed:
            if newer is None:
                self._clean[vault.name] = max(asked, self._clean[vault.name])
                self._keep()
            elif self.superseded is None:
                self.superseded = newer
                self._changed.notify_all()
            if child is not None and epochs.continues(child, self._record):
                self.following = child
            return self.superseded is None and self.following is None

    def since(self) -> dict[str, float]:
        """When each vault was last asked and showed no other site's epoch."""
        with self._changed:
            return dict(self._clean)

    def expires(self) -> float | None:
        """When the lease lapses unless more vaults answer; None where commits wait for vaults anyway."""
        if self._seconds is None:
            return None
        with self._changed:
            return max(self._until(self._seconds), self._asking)

    def stands(self) -> bool:
        """Whether answers alone let this site write now: enough vaults lately showed no newer epoch, and none showed one."""
        with self._changed:
            asked = self._asked()
            lately = asked > 0 if self._seconds is None else asked + self._seconds > now()
            return self.superseded is None and lately

    def _asked(self) -> float:
        """When enough vaults had been asked that showed no newer epoch."""
        return sorted(self._clean.values(), reverse=True)[self._needed - 1]

    def _until(self, seconds: float) -> float:
        return max(self._asked() + seconds, self._first)

    def _keep(self) -> None:
        """Note the lease for whoever comes after this process, some times a second at most: an older note ends sooner."""
        if self._note is None or self._seconds is None:
            return
        until = self._until(self._seconds)
        if until > self._noted + NOTE_EVERY or self._noted == 0.0:
            kept = tenure.Tenure(self._record.nonce, tenure.boot(), self._clean, self._first, until)
            try:
                tenure.write(self._note, kept)
            except OSError as error:  # the guard holds Postgres to the older note, which ends sooner
                log.warning("the lease cannot be noted", why=str(error))
                return
            self._noted = until

    def wait_until_lost(self, stopping: threading.Event) -> str | None:
        """Wait until this site must stop writing, and say why; None when told to stop waiting."""
        while not stopping.is_set():
            if self.superseded is not None:
                return f"epoch {self.superseded.number} lets {self.superseded.site} write"
            expires = self.expires()
            left = 1.0 if expires is None else expires - now()
            if left <= 0:
                return (
                    f"fewer than {self._needed} vaults answered within {self._seconds} s that no newer epoch is sealed"
                )
            with self._changed:
                if self.superseded is None:
                    self._changed.wait(min(left, 1.0))
        return None


def _known(since: Mapping[str, float], vaults: Iterable[str]) -> dict[str, float]:
    """What was known of these vaults under the epoch before; of new ones nothing."""
    return {name: since.get(name, 0.0) for name in vaults}


class Watch(threading.Thread):
    """Looks at one vault regularly, whether or not there is anything to ship."""

    def __init__(self, vault: Vault, lease: Lease, every: float, stopping: threading.Event) -> None:
        super().__init__(name=f"watch-{vault.name}", daemon=True)
        self._vault = vault
        self._lease = lease
        self._every = every
        self._stopping = stopping

    def run(self) -> None:
        """Look until told to stop; a failure is a look that did not count."""
        failed = False
        while True:
            try:
                self._lease.look(self._vault)
                self._lease.emptied.look(self._vault)
                failed = False
            except ResilienceError as error:
                if not failed:
                    log.warning("cannot look for a newer epoch", vault=self._vault.name, why=error.why)
                failed = True
            if self._stopping.wait(self._every):
                return


def watches(vaults: Mapping[str, Vault], lease: Lease, every: float, stopping: threading.Event) -> list[Watch]:
    """One watch a vault."""
    return [Watch(vault, lease, every, stopping) for vault in vaults.values()]
