"""What ship says of itself: one small JSON file, replaced at once, for `status` and `snapshot`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from resilience.replication import lsn
from resilience.replication.config import Config
from resilience.replication.courier import Courier
from resilience.replication.lease import Lease
from resilience.replication.lease import now as lease_now
from resilience.replication.spool import Spool

if TYPE_CHECKING:
    from resilience.replication.outbox import Outbox

NAME = "ship-status.json"
OFTEN = 0.2


class Report:
    """The status file."""

    def __init__(self, config: Config, spool: Spool, couriers: Sequence[Courier], outbox: Outbox, lease: Lease) -> None:
        self.postgres_error: str | None = None
        self._config = config
        self._spool = spool
        self._couriers = couriers
        self._outbox = outbox
        self._lease = lease
        self._path = config.paths.run / NAME
        self._written = 0.0
        self._server_end = 0
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, server_end: int = 0) -> None:
        """Say how things are, at most a few times a second."""
        self._server_end = max(server_end, self._server_end)
        if time.monotonic() < self._written + OFTEN:
            return
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self.facts(), indent=1))
        new.replace(self._path)
        self._written = time.monotonic()

    def facts(self) -> dict[str, Any]:
        """Epoch, positions, and lag by vault, in bytes and in seconds."""
        record = self._config.record
        confirmed = self._spool.confirmed(record.k) if self._spool.shipped(record.k) else 0
        expires = self._lease.expires()
        lags = {courier.vault.name: self._vault(courier) for courier in self._couriers}
        return {
            "at": time.time(),
            "site": self._config.site,
            "epoch": record.number,
            "nonce": record.nonce,
            "durability": self._config.durability,
            "server_lsn": lsn.show(self._server_end),
            "confirmed_lsn": lsn.show(confirmed),
            "lag_bytes": max(0, self._server_end - confirmed),
            "lag_seconds": sorted(v["lag_seconds"] for v in lags.values())[record.k - 1],
            "lease_left_s": None if expires is None else round(expires - lease_now(), 3),
            "superseded_by": self._lease.superseded.number if self._lease.superseded else None,
            "postgres_error": self.postgres_error,
            "outbox_error": self._outbox.error,
            "vaults": lags,
        }

    def _vault(self, courier: Courier) -> dict[str, Any]:
        name = courier.vault.name
        oldest = self._spool.oldest_lacking(name)
        chunks, size = self._spool.backlog(name)
        queue = next(q for q in self._outbox.queues if q.vault.name == name)
        return {
            "lsn": lsn.show(self._spool.held()[name]),
            "lag_bytes": max(0, self._server_end - self._spool.held()[name]),
            "lag_seconds": 0.0 if oldest is None else round(max(0.0, time.time() - oldest), 3),
            "backlog_chunks": chunks,
            "backlog_bytes": size,
            "backlog_objects": queue.backlog(),
            "puts": courier.puts,
            "failures": courier.failures,
            "error": courier.error or queue.error,
        }
