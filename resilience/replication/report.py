"""What ship says of itself: a JSON file for `status` and `snapshot`, and metrics; each replaced at once."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import structlog

from resilience.replication import lsn, metrics, notes, read_back
from resilience.replication.config import Config
from resilience.replication.courier import Courier
from resilience.replication.lease import Lease
from resilience.replication.lease import now as lease_now
from resilience.replication.metrics import Metric, Sample
from resilience.replication.spool import Spool

if TYPE_CHECKING:
    from resilience.replication.limits import Limits
    from resilience.replication.outbox import Outbox

NAME = "ship-status.json"
OFTEN = 0.2
METRICS_EVERY = 5.0
log = structlog.get_logger()


class Report:
    """The status file and the metrics."""

    def __init__(
        self,
        config: Config,
        spool: Spool,
        couriers: Sequence[Courier],
        outbox: Outbox,
        lease: Lease,
        limits: Limits,
    ) -> None:
        self.postgres_error: str | None = None
        self.turning: str | None = None
        """Why this host does not go on yet under an epoch with another vault set; None where there is none."""
        self._config = config
        self._spool = spool
        self._couriers = couriers
        self._outbox = outbox
        self._lease = lease
        self._limits = limits
        self._path = config.paths.run / NAME
        self._written = 0.0
        self._metrics_written = 0.0
        self._unsaid = False
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, *, at_once: bool = False) -> bool:
        """Say how things are, at most a few times a second; what went wrong, at once. Whether it was said."""
        now = time.monotonic()
        if now < self._written + OFTEN and not at_once:
            return False
        try:
            self._say(self.facts(), now)
        except OSError as error:
            # Nobody is told, which `status` shows by the age; what is shipped does not wait for that.
            if not self._unsaid:
                log.warning("the status cannot be written", why=str(error))
            self._unsaid, self._written = True, now
            return False
        self._unsaid, self._written = False, now
        return True

    def _say(self, facts: dict[str, Any], now: float) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(facts, indent=1))
        new.replace(self._path)
        if now >= self._metrics_written + METRICS_EVERY:
            metrics.write(self._config.paths.run, "ship", self._metrics(facts))
            self._metrics_written = now

    def facts(self) -> dict[str, Any]:
        """Epoch, positions, what is wrong, and lag by vault, in bytes and in seconds; nothing of it is older than `at`."""
        at = time.time()
        record = self._config.record
        confirmed = self._spool.confirmed(record.k) if self._spool.shipped(record.k) else 0
        expires = self._lease.expires()
        verified = notes.read(self._config, "verified") or {}
        lacking = self._outbox.lacking()
        vaults = {
            c.vault.name: {**self._vault(c, lacking[c.vault.name]), "verified_at": verified.get(c.vault.name)}
            for c in self._couriers
        }
        writes = self._limits.writes
        return {
            "at": at,
            "site": self._config.site,
            "epoch": record.number,
            "nonce": record.nonce,
            "durability": self._config.durability,
            "commits": self._limits.commits,
            "degraded_since": writes.degraded_since,
            "writes_stopped_since": writes.stopped_since,
            "alarms": [*self._limits.alarms, *self._waits()],
            "gap": self._spool.gap.facts() if self._spool.gap else None,
            "lost": [hole.facts() for hole in self._spool.lost],
            "server_lsn": lsn.show(self._limits.server_end),
            "confirmed_lsn": lsn.show(confirmed),
            "lag_bytes": max(0, self._limits.server_end - confirmed),
            "lag_seconds": sorted(v["lag_seconds"] for v in vaults.values())[record.k - 1],
            "lease_left_s": None if expires is None else round(expires - lease_now(), 3),
            "superseded_by": self._lease.superseded.number if self._lease.superseded else None,
            "postgres_error": self.postgres_error,
            "turning": self.turning,
            "outbox_error": self._outbox.error,
            "limits_error": self._limits.error,
            "snapshot": read_back.newest(self._config),
            "vaults": vaults,
        }

    def _waits(self) -> list[str]:
        return [] if self.turning is None else [f"the vault set cannot change yet: {self.turning}"]

    def _vault(self, courier: Courier, objects: int) -> dict[str, Any]:
        name = courier.vault.name
        chunks, size = self._spool.backlog(name)
        objects_size = self._outbox.backlog(name)[1]
        hole = self._spool.hole(name)
        return {
            "counts": courier.progress.counted > 0,
            "apart": name in self._config.apart,
            "lsn": lsn.show(self._spool.held()[name]),
            "lag_bytes": max(0, self._limits.server_end - self._spool.held()[name]),
            "lag_seconds": round(self._spool.lag(name), 3),
            "backlog_chunks": chunks,
            "backlog_objects": objects,
            "backlog_bytes": size + objects_size,
            "hole": hole.facts() if hole else None,
            "emptied": name in self._limits.emptied,
            "puts": courier.meter.puts + self._outbox.queue(name).meter.puts,
            "failures": courier.failures,
            "error": courier.error or self._outbox.queue(name).error,
        }

    def _metrics(self, facts: dict[str, Any]) -> list[Metric]:
        told = facts["postgres_error"] is None  # else there is WAL of which ship knows nothing, and no age
        whole = {
            "epoch": ("Number of the epoch under which this site ships.", facts["epoch"]),
            "confirmed_lag_seconds": (
                "Age of the oldest WAL that k vaults do not hold.",
                facts["lag_seconds"] if told else None,
            ),
            "confirmed_lag_bytes": ("WAL that k vaults do not hold.", facts["lag_bytes"]),
            "lease_left_seconds": ("Until this site must stop writing unless vaults answer.", facts["lease_left_s"]),
            "alarms": ("Alarms that stand now.", len(facts["alarms"])),
            "superseded": ("1 once a newer epoch was seen.", int(facts["superseded_by"] is not None)),
            "commits_wait": ("1 where a commit is acknowledged once k vaults hold it.", facts["commits"] == "quorum"),
            "writes_stopped": ("1 while nobody may write.", facts["writes_stopped_since"] is not None),
            "unprotected": (
                "1 while no snapshot that was read back leads past WAL that was lost.",
                facts["gap"] is not None,
            ),
            "postgres_connected": ("1 while WAL streams from Postgres.", facts["postgres_error"] is None),
            "snapshot_time_seconds": ("When the last snapshot was taken.", (facts["snapshot"] or {}).get("at")),
        }
        found = [
            Metric(name, "gauge", text, () if value is None else (Sample(float(value)),))
            for name, (text, value) in whole.items()
        ]
        return found + self._by_vault(facts["vaults"], told=told)

    def _by_vault(self, vaults: dict[str, Any], *, told: bool) -> list[Metric]:
        age = {"vault_lag_seconds": ("lag_seconds", "Age of the oldest WAL that this vault lacks.")} if told else {}
        gauges = {
            **age,
            "vault_lag_bytes": ("lag_bytes", "WAL that this vault lacks."),
            "spool_chunks": ("backlog_chunks", "Chunks kept for this vault."),
            "spool_bytes": ("backlog_bytes", "Bytes of disk kept for this vault, pictures and ledger included."),
            "outbox_objects": ("backlog_objects", "Pictures, keys and ledger entries kept for this vault."),
        }
        found = [
            Metric(name, "gauge", text, tuple(Sample(facts[key], {"vault": vault}) for vault, facts in vaults.items()))
            for name, (key, text) in gauges.items()
        ]
        emptied = tuple(Sample(facts["emptied"], {"vault": vault}) for vault, facts in vaults.items())
        holes = tuple(Sample(facts["hole"] is not None, {"vault": vault}) for vault, facts in vaults.items())
        verified = tuple(
            Sample(facts["verified_at"], {"vault": vault}) for vault, facts in vaults.items() if facts["verified_at"]
        )
        return [
            *found,
            Metric("vault_left_behind", "gauge", "1 while it lacks WAL no longer kept.", holes),
            Metric("vault_emptied", "gauge", "1 while what it held is gone, and it was not filled.", emptied),
            Metric("vault_verified_time_seconds", "gauge", "When it last gave the database back.", verified),
            *self._puts(),
        ]

    def _puts(self) -> list[Metric]:
        latency: list[Sample] = []
        errors: list[Sample] = []
        sizes: list[Sample] = []
        costs: list[Sample] = []
        for courier in self._couriers:
            name = courier.vault.name
            price = next(vault.price_per_1000_puts for vault in self._config.vaults if vault.name == name)
            for kind, meter in (("wal", courier.meter), ("objects", self._outbox.queue(name).meter)):
                labels = {"vault": name, "kind": kind}
                latency += meter.histogram(labels)
                sizes.append(Sample(meter.bytes, labels))
                errors += [Sample(count, {**labels, "class": which}) for which, count in sorted(meter.errors.items())]
                costs += [Sample(meter.puts / 1000 * price, labels)] if price is not None else []
        return [
            Metric("put_seconds", "histogram", "How long PUTs took.", tuple(latency)),
            Metric("put_bytes_total", "counter", "Bytes put.", tuple(sizes)),
            Metric("put_errors_total", "counter", "PUTs and looks that failed, by class.", tuple(errors)),
            Metric("put_cost_total", "counter", "What PUTs cost, at the fleet file's prices.", tuple(costs)),
        ]
