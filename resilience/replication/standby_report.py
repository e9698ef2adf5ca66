"""What a standby says of itself: one small JSON file, replaced at once, for `status`."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from resilience.replication import lsn
from resilience.replication.chunk import Header
from resilience.replication.config import Config
from resilience.replication.entries import Entries
from resilience.replication.incoming import Incoming
from resilience.replication.pictures import Pictures
from resilience.replication.reader import Reader

NAME = "follow-status.json"
OFTEN = 0.2
TAIL = 8192
"""The last record of a chunk may be cut, so a standby that has all of it stands a little before its end."""
REPLAYED = "SELECT coalesce(pg_last_wal_replay_lsn(), '0/0')::text, pg_is_in_recovery()"


class StandbyReport:
    """The status file."""

    def __init__(
        self,
        config: Config,
        base: Mapping[str, Any],
        readers: Sequence[Reader],
        pictures: Pictures | None,
        entries: Entries,
    ) -> None:
        self._config = config
        self._base = base
        self._readers = readers
        self._pictures = pictures
        self._entries = entries
        self._path = config.paths.run / NAME
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._unreplayed: deque[tuple[int, float]] = deque()
        self._db: psycopg.Connection[Any] | None = None
        self._written = 0.0

    def delivered(self, header: Header) -> None:
        """This chunk was given to Postgres."""
        self._unreplayed.append((header.end, header.at))

    def write(self, incoming: Incoming) -> None:
        """Say how things are, at most a few times a second."""
        if time.monotonic() < self._written + OFTEN:
            return
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self._facts(incoming), indent=1))
        new.replace(self._path)
        self._written = time.monotonic()

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
            "seen_lsn": lsn.show(incoming.frontier),
            "delivered_lsn": lsn.show(incoming.position),
            "replayed_lsn": None if replayed is None else lsn.show(replayed),
            "readable": replayed is not None,
            "lag_bytes": None if replayed is None else max(0, incoming.frontier - replayed),
            "lag_seconds": self._lag(incoming, replayed),
            "pictures_lacking": self._pictures.lacking if self._pictures else None,
            "ledger_entries": self._entries.held,
            "vaults": {
                r.vault.name: {"lsn": lsn.show(r.position), "failures": r.failures, "holes": r.holes, "error": r.error}
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
                self._db = psycopg.connect(self._config.postgres.dsn, autocommit=True, connect_timeout=1)
            row = self._db.execute(REPLAYED).fetchone()
        except psycopg.Error:
            self._db = None
            return None
        return None if row is None else lsn.parse(row[0])
