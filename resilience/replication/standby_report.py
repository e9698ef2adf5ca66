"""What a standby says of itself: one small JSON file, for `status`, and metrics; each replaced at once."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from resilience.replication import lsn, metrics, sessions
from resilience.replication.chunk import Header
from resilience.replication.config import Config
from resilience.replication.entries import Entries
from resilience.replication.incoming import Incoming
from resilience.replication.metrics import Metric, Sample
from resilience.replication.pictures import Pictures
from resilience.replication.reader import Reader
from resilience.replication.standby_prune import StandbyPrune

NAME = "follow-status.json"
OFTEN = 0.2
METRICS_EVERY = 5.0
TAIL = 8192
"""The last record of a chunk may be cut, so a standby that has all of it stands a little before its end."""
REPLAYED = "SELECT coalesce(pg_last_wal_replay_lsn(), '0/0')::text, pg_is_in_recovery()"


class StandbyReport:
    """The status file and the metrics."""

    def __init__(
        self,
        config: Config,
        base: Mapping[str, Any],
        readers: Sequence[Reader],
        pictures: Pictures | None,
        entries: Entries,
        prune: StandbyPrune,
    ) -> None:
        self._config = config
        self._base = base
        self._readers = readers
        self._pictures = pictures
        self._entries = entries
        self._prune = prune
        self._path = config.paths.run / NAME
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._unreplayed: deque[tuple[int, float]] = deque()
        self._db: sessions.Session | None = None
        self.next_epoch_error: str | None = None
        """Why it can't be told which epoch comes next."""
        self.full: str | None = None
        """What to do where WAL can't be given to Postgres, because the disk is full."""
        self._written = 0.0
        self._metrics_written = 0.0

    def delivered(self, header: Header) -> None:
        """This chunk was given to Postgres."""
        self._unreplayed.append((header.end, header.at))

    def write(self, incoming: Incoming) -> None:
        """Say how things are, at most a few times a second."""
        now = time.monotonic()
        if now < self._written + OFTEN:
            return
        facts = self._facts(incoming)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(facts, indent=1))
        new.replace(self._path)
        self._written = now
        if now >= self._metrics_written + METRICS_EVERY:
            metrics.write(self._config.paths.run, "follow", _metrics(facts))
            self._metrics_written = now

    def _facts(self, incoming: Incoming) -> dict[str, Any]:
        replayed = self._replayed()
        record = incoming.leg.record
        return {
            "at": time.time(),
            "role": "standby",
            "site": self._config.site,
            "follows": record.site,
            "epoch": record.number,
            "timeline": incoming.leg.start.timeline,
            "snapshot": self._base["snapshot"],
            "snapshot_at": self._base.get("at"),
            "seen_lsn": lsn.show(incoming.frontier),
            "delivered_lsn": lsn.show(incoming.position),
            "replayed_lsn": None if replayed is None else lsn.show(replayed),
            "readable": replayed is not None,
            "lag_bytes": None if replayed is None else max(0, incoming.frontier - replayed),
            "lag_seconds": self._lag(incoming, replayed),
            "pictures_lacking": self._pictures.lacking if self._pictures else None,
            "ledger_entries": self._entries.held,
            "kept": self._prune.facts,
            "stopped": incoming.stopped or next(filter(None, (self.full, *(r.full for r in self._readers))), None),
            "next_epoch_error": self.next_epoch_error,
            "vaults": {
                r.vault.name: {
                    "lsn": lsn.show(r.position),
                    "failures": r.failures,
                    "errors": dict(r.errors),
                    "holes": r.holes,
                    "error": r.error,
                }
                for r in self._readers
            },
        }

    def _lag(self, incoming: Incoming, replayed: int | None) -> float | None:
        """Seconds since the oldest WAL that is known and not replayed; None where that can't be told."""
        if replayed is None or all(reader.error for reader in self._readers):
            return None
        while len(self._unreplayed) > 1 and self._unreplayed[0][0] <= replayed:
            self._unreplayed.popleft()
        waits = [incoming.waiting(), *(at for end, at in self._unreplayed if end - replayed > TAIL)]
        oldest = min((at for at in waits if at is not None), default=None)
        return 0.0 if oldest is None else round(max(0.0, time.time() - oldest), 3)

    def _replayed(self) -> int | None:
        """How far Postgres got; None while it lets nobody in."""
        try:
            if self._db is None:
                self._db = sessions.superuser(self._config.postgres.dsn, timeout=1)
            row = self._db.execute(REPLAYED).fetchone()
        except psycopg.Error:
            self._db = None
            return None
        return None if row is None else lsn.parse(row[0])


def _metrics(facts: dict[str, Any]) -> list[Metric]:
    kept = facts["kept"] or {}
    replayed = facts["replayed_lsn"]
    whole = {
        "standby_epoch": ("Number of the epoch that is followed.", facts["epoch"]),
        "standby_readable": ("1 while Postgres lets readers in.", facts["readable"]),
        "standby_replayed_lsn": ("Position up to which WAL is replayed.", replayed and lsn.parse(replayed)),
        "standby_lag_seconds": ("Age of the oldest WAL that is known here and not replayed.", facts["lag_seconds"]),
        "standby_lag_bytes": ("WAL that is known here and not replayed.", facts["lag_bytes"]),
        "standby_pictures_lacking": ("Pictures that rows name and no vault has yet.", facts["pictures_lacking"]),
        "standby_ledger_entries": ("Number of the last ledger entry that is here.", facts["ledger_entries"]),
        "standby_snapshot_time_seconds": (
            "When the snapshot was taken that this copy began with.",
            facts["snapshot_at"],
        ),
        "standby_kept_chunks": ("Chunks kept as one more copy.", kept.get("chunks")),
        "standby_kept_bytes": ("Bytes of the chunks kept as one more copy.", kept.get("bytes")),
    }
    by_vault = {
        "standby_vault_failures": ("Questions in a row that this vault did not answer.", "failures"),
        "standby_vault_holes": ("Chunks passed over because only this vault lacks them.", "holes"),
    }
    errors = tuple(
        Sample(count, {"vault": vault, "class": which})
        for vault, seen in facts["vaults"].items()
        for which, count in sorted(seen["errors"].items())
    )
    lacked = tuple(Sample(count, {"vault": vault}) for vault, count in kept.get("lacked", {}).items())
    return [
        *(
            Metric(name, "gauge", told, () if value is None else (Sample(float(value)),))
            for name, (told, value) in whole.items()
        ),
        *(
            Metric(name, "gauge", told, tuple(Sample(seen[key], {"vault": v}) for v, seen in facts["vaults"].items()))
            for name, (told, key) in by_vault.items()
        ),
        Metric("standby_vault_errors_total", "counter", "Questions that failed and altered chunks, by class.", errors),
        Metric("standby_vault_lacked_chunks", "gauge", "Kept chunks that this vault needs and lacks.", lacked),
    ]
