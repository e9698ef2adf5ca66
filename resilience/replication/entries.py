"""Ledger entries of a standby: read while it follows, so that `fetch-ledger` finds nearly all of them here.

Only what the ledger's key signed is kept, by the names of the objects, and `fetch-ledger` alone tells which entries
count: one that a fenced site still put is never taken from here in place of its successor's.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from resilience.errors import ResilienceError
from resilience.ports import Vault
from resilience.replication import layout, seals
from resilience.replication.config import Config, write_atomic
from resilience.replication.ledger import Entry, read, unsigned
from resilience.replication.originals import as_put, read_good

EVERY = 2.0
FETCHERS = 12
FOLDER = "ledger"
log = structlog.get_logger()


def place(config: Config, key: str) -> Path:
    """Where an entry is kept here, opened."""
    return config.paths.wal / FOLDER / key.removeprefix(layout.LEDGER).replace("/", "-")


def entry(vault: Vault, key: str, config: Config) -> Entry | None:
    """The entry of this name, when this vault has it as it was put."""
    identity = config.key()
    found = read_good(vault, key, lambda data: believed(config, key, _opened(data, identity)))
    return found[1] if isinstance(found, tuple) else None


def believed(config: Config, key: str, plain: bytes | None) -> Entry | None:
    """What was opened, if it is the ledger's entry of this number; where nobody said who signs that, whatever opens is."""
    named = layout.ENTRY.fullmatch(key)
    if named is None or plain is None:
        return None
    seq, check = int(named["seq"]), config.ledger_check
    return unsigned(seq, plain) if check is None else read(plain, seq, check)


def _opened(data: bytes, identity: str) -> bytes | None:
    try:
        return seals.decrypt(data, identity)
    except ResilienceError:
        return None


class Entries(threading.Thread):
    """Keeps a standby's ledger up to date; a cycle with nothing new asks one vault, in turn, for one or two names."""

    def __init__(
        self, config: Config, vaults: Mapping[str, Vault], epoch: Callable[[], int], stopping: threading.Event
    ) -> None:
        super().__init__(name="entries", daemon=True)
        self.held: int | None = None
        """The number of the last entry that is here; None until a vault was looked at."""
        self._config = config
        self._vaults = list(as_put(vaults).values())
        self._epoch = epoch
        self._stopping = stopping
        self._last = (0, 0)
        self._listed_under = 0
        (config.paths.wal / FOLDER).mkdir(parents=True, exist_ok=True, mode=0o700)

    def run(self) -> None:
        """Look for new entries until told to stop."""
        failed = False
        while not self._stopping.wait(EVERY):
            try:
                self.cycle()
                failed = False
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told, and the next vault is looked at
                if not failed:
                    log.warning("the ledger cannot be looked at", vault=self._vaults[0].name, why=str(error))
                failed = True
            self._vaults = [*self._vaults[1:], *self._vaults[:1]]

    def cycle(self) -> None:
        """All entries once for each epoch, by listing; then the next ones, by name."""
        if self._listed_under != (epoch := self._epoch()):
            self._list(epoch)
            self._listed_under = epoch
        while any(self._bring(layout.ledger(number, self._last[1] + 1)) for number in {self._last[0], epoch} if number):
            pass
        self.held = self._last[1]

    def _list(self, epoch: int) -> None:
        named = [named for key in self._vaults[0].list(layout.LEDGER) if (named := layout.ENTRY.fullmatch(key))]
        keys = sorted(name.group() for name in named if int(name["epoch"]) <= epoch)
        with ThreadPoolExecutor(max_workers=FETCHERS) as pool:
            list(pool.map(self._bring, keys))

    def _bring(self, key: str) -> bool:
        """Keep one entry; False where no vault gives it."""
        path, named = place(self._config, key), layout.ENTRY.fullmatch(key)
        if not path.exists():
            found = entry(self._vaults[0], key, self._config)
            if found is None:
                return False
            write_atomic(path, found.body, 0o600)
        if named:
            self._last = max(self._last, (int(named["epoch"]), int(named["seq"])))
        return True
