"""Pictures of a standby: fetched as the rows that name them are replayed, and never listed.

The app's own query tells which rows are new since the last one seen, so that a cycle without new rows costs
one look into an index, however many pictures there are.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import structlog

from resilience.ports import Vault
from resilience.replication import layout, sessions
from resilience.replication.appfolders import is_file
from resilience.replication.aside import begin
from resilience.replication.config import Config, MediaQuery
from resilience.replication.fetch_media import FETCHERS, fetch, is_picture, place
from resilience.replication.patient import patience_with, sounded_out

EVERY = 1.0
BATCH = 500
log = structlog.get_logger()


class Pictures(threading.Thread):
    """Keeps a standby's pictures complete."""

    def __init__(
        self, config: Config, query: MediaQuery, vaults: Mapping[str, Vault], stopping: threading.Event
    ) -> None:
        super().__init__(name="pictures", daemon=True)
        self.seen = 0
        """Rows looked at since the start."""
        self.lacking: int | None = None
        """Pictures that rows name and no vault gave yet; None until all rows were looked at, and while they cannot be."""
        self._config = config
        self._query = query
        self._vaults = vaults
        self._some_apart = any(vault.locked for vault in config.vaults)
        self._stopping = stopping
        self._owner = ""
        """Of the database, as far as anybody was asked."""
        self._since = 0
        self._missing: set[str] = set()

    def run(self) -> None:
        """Look for new rows until told to stop; what no vault has yet is asked for again."""
        sounded = False
        while not self._stopping.wait(EVERY):
            try:
                if not sounded:
                    self._vaults, sounded = sounded_out(self._vaults), True
                self._cycle()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and they are looked for again
                self.lacking, self._owner = None, ""
                log.warning("pictures cannot be looked for", why=" ".join(str(error).split()))

    def _cycle(self) -> None:
        """All rows since the last cycle, a little earlier ones again, and their pictures."""
        self._sound_out_silent()
        after = self._since - self._query.margin
        while not self._stopping.is_set():
            rows = self._rows(after)
            self._bring({str(name) for _, name in rows})
            self.seen += len(rows)
            after = max((int(number) for number, _ in rows), default=after)
            self._since = max(self._since, after)
            if len(rows) < BATCH:
                self.lacking = len(self._missing)
                return

    def _bring(self, named: set[str]) -> None:
        wanted = named | self._missing
        strange = {name for name in wanted if not is_picture(name)}
        if strange - self._missing:
            log.warning("rows name what is no picture", how_many=len(strange))
        absent = sorted(n for n in wanted - strange if not is_file(place(self._config.paths.media, n)))

        def ask(name: str) -> bool:
            asked = [vault for vault in self._vaults.values() if patience_with(vault)]
            return fetch(self._config.paths.media, name, asked, asked if self._some_apart else [], self._config.key())

        with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
            self._missing = strange | {name for name, had in zip(absent, pool.map(ask, absent), strict=True) if not had}

    def _sound_out_silent(self) -> None:
        """A vault that gives nothing is asked something small now and then, and no picture waits for the answer."""
        for vault in self._vaults.values():
            if not patience_with(vault):
                begin(partial(vault.list, layout.EPOCH))

    def _rows(self, after: int) -> list[tuple[Any, ...]]:
        dsn, database = self._config.postgres.dsn, self._query.database
        self._owner = self._owner or sessions.owner(dsn, database, timeout=1)
        with sessions.as_role(dsn, self._owner, database, timeout=1) as db:
            return db.execute(self._query.newer.encode(), (after, BATCH)).fetchall()
