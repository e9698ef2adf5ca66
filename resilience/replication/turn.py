"""Turning: the same host goes on under an epoch with another vault set, on the same timeline, and loses no byte.

Once the new epoch is sealed for good and k of the vaults that stay hold all that was shipped, the old one is closed at
that position, which is noted durably. The new one's opening record says the same to readers. Until then ship streams and
puts under the old one, and nothing of it is confirmed: whoever supersedes this site meanwhile finds it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import structlog

from resilience.errors import Refused, ResilienceError, VaultError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import chunk, lsn
from resilience.replication import epoch as epochs
from resilience.replication.catch_up import filled
from resilience.replication.config import Config, write_atomic
from resilience.replication.courier import Courier
from resilience.replication.lease import Lease
from resilience.replication.outbox import Outbox
from resilience.replication.quorum import held_by
from resilience.replication.spool import Hole, Spool

NAME = "turned"
POLL = 0.05
ASK = 0.5
STILL = 2.0
"""So long ship takes no WAL for a turn at first, and twice as long each time that was too short."""
STILL_AT_MOST = 32.0
log = structlog.get_logger()


def start(config: Config) -> Config:
    """Under which epoch this host goes on: as far as it turned, and no further."""
    while (before := config.before) is not None and closed(before) is None:
        config = before
    while (found := _noted(config)) is not None:
        config = config.under(epochs.from_json(found["record"]))
    return config


def force(config: Config, wait: Callable[[float], None] = time.sleep) -> Config:
    """Under which epoch this host goes on, where the operator did without the seal of the one before.

    Nothing is confirmed meanwhile: k of the vaults that stay get what was shipped, and the epoch under which this host is
    is closed there. Epochs between, of which it never heard, end before they began: what stays of their sets is all that counts.
    """
    here = start(config)
    onward = _from(here, config) if config.forced else []
    if not onward:
        return here
    log.warning("the vault set changes by the operator's word alone", epoch=config.record.number)
    end = _handed_over(here, config.record, wait)
    for before, after in reversed([*pairwise([here, *onward])]):  # once the newest is closed this host goes on
        close(before, after.record, end)
    return start(config)


def _from(here: Config, config: Config) -> list[Config]:
    """The configurations after the one under which this host is, up to this one; none where that is no epoch of its own before."""
    found, older = list[Config](), config
    while older.record != here.record:
        if not config.verify(epochs.payload(older.record), older.record.signature):
            raise Refused(
                f"Epoch {older.record.number} does not carry the operator's signature.",
                "Nobody is led on by what somebody else wrote into this host's configuration.",
                "Type `resilience protect --force` again: it writes that anew.",
            )
        found.insert(0, older)
        if (before := older.before) is None:
            return []
        older = before
    return found


def _handed_over(config: Config, record: EpochRecord, wait: Callable[[float], None]) -> int:
    """Where the spool ends, once k of the vaults of `record` were given everything that is kept here.

    Where fewer are whole, what the others lack is lost with the vaults that had it, and is told like WAL that nobody ever
    had: this host has what it says, so nothing is confirmed until a snapshot leads past it.
    """
    spool = Spool(config.paths.spool, config.record.number, config.record.vaults)
    spool.live()
    spool.floor(_began(config, spool))
    if (caught := filled(config)) is not None:
        spool.mend(*caught)
    lease = Lease(config.record, config.verify, None, emptied=spool.emptied_notes)
    stay = config.open(tuple(name for name in config.record.vaults if name in record.vaults))
    if sum(spool.whole(name) for name in stay) < record.k:
        spool.write_off(stay)
        log.warning("what vaults lack is in none that stays", gap=spool.gap.facts() if spool.gap else None)
    couriers = [Courier(vault, spool, config.record, lease, lambda: None) for vault in stay.values()]
    for courier in couriers:
        courier.start()
    try:
        _await_whole(record, spool, couriers, lease, wait)
    finally:
        for courier in couriers:
            courier.stop()
            courier.join()
            courier.vault.close()
    return spool.end


def _await_whole(
    record: EpochRecord, spool: Spool, couriers: Sequence[Courier], lease: Lease, wait: Callable[[float], None]
) -> None:
    """Return once the vaults that stay hold everything; Refused where one of them lets another site write."""
    told = None
    while True:
        lacking = _lacking(record, spool, couriers)
        if lease.superseded is not None:
            raise Refused(
                f"Epoch {lease.superseded.number} lets {lease.superseded.site} write.",
                "It was sealed by somebody who did not know of this one, or by whom this one was not known.",
                "Look at `resilience status`; this site stays closed.",
            )
        if lacking is None:
            return
        if lacking != told:
            log.warning("the vault set cannot change yet", epoch=record.number, why=lacking)
        told = lacking
        wait(POLL)


def _began(config: Config, spool: Spool) -> int:
    """Where the epoch's own WAL begins; Refused where nothing was shipped under it from here."""
    data = spool.start_record
    begun = None if data is None else chunk.decode_start(data, config.record)
    if begun is None:
        raise Refused(
            f"Nothing was shipped from here under epoch {config.record.number}.",
            "Where it ends is not known, so no other can go on from there.",
            f"Bring the site up first (`resilience up {config.site}`), or fail over.",
        )
    return begun.start


def closed(config: Config) -> int | None:
    """Where this epoch was closed; None while it is not."""
    found = _noted(config)
    return None if found is None else lsn.parse(found["end"])


def begun(config: Config) -> Config:
    """The same host's configuration under the newest epoch up to this one under which it shipped: others ended before they began."""
    while (before := config.before) is not None and closed(config) is not None and not _start(config).exists():
        config = before
    return config


def _start(config: Config) -> Path:
    return config.paths.spool / f"{config.record.number:08d}" / "start"


def gap(config: Config) -> Hole | None:
    """WAL of this epoch, which was closed, that nobody will ever have."""
    return Hole.read(config.paths.spool / f"{config.record.number:08d}" / "gap")


def close(config: Config, record: EpochRecord, end: int) -> Config:
    """Note that nothing is shipped under this epoch past `end`; the configuration to go on with."""
    value = {"record": asdict(record), "end": lsn.show(end)}
    write_atomic(_path(config), json.dumps(value, indent=1).encode())
    return config.under(record)


def _lacking(record: EpochRecord, spool: Spool, couriers: Iterable[Courier]) -> str | None:
    """What keeps the vaults that stay from holding all that was shipped; None where they do."""
    if _reached(record, spool, couriers) < spool.kept_until:
        return f"fewer than {record.k} of the vaults that stay hold all that was shipped"
    return None


def _reached(record: EpochRecord, spool: Spool, couriers: Iterable[Courier]) -> int:
    """The position up to which k of the vaults that stay were given everything; -1 where fewer are whole."""
    whole = [c for c in couriers if c.vault.name in record.vaults and spool.whole(c.vault.name)]
    given = (max(c.put_upto, spool.given(c.vault.name)) for c in whole)
    return held_by(record.k, given) if len(whole) >= record.k else -1


def _owed(record: EpochRecord, spool: Spool, outbox: Outbox) -> str | None:
    """What the app was told is held, and that would be in fewer than k vaults of the new set; None where there is nothing."""
    whole = [name for name in spool.held() if name in record.vaults and spool.whole(name)]
    owed = outbox.owed(whole, record.k)
    if not owed:
        return None
    return f"fewer than {record.k} of the vaults that stay hold {owed[0]}" + (
        f" and {len(owed) - 1} more" if owed[1:] else ""
    )


class Turning:
    """What stands in the way of an epoch that continues this one, looked at while ship streams on.

    Vaults are asked beside that, each by itself, and nobody waits for one that says nothing: it may be the one that leaves.
    """

    def __init__(
        self, config: Config, record: EpochRecord, spool: Spool, couriers: Sequence[Courier], outbox: Outbox
    ) -> None:
        self.record = record
        self.still = False
        """Nothing but what is on its way to vaults is in the way: no more WAL is taken until it is there, or takes too long."""
        self.obstacle: str | None = None
        self._config = config
        self._spool = spool
        self._couriers = couriers
        self._outbox = outbox
        self._vaults = config.open(tuple({*record.vaults, *config.record.vaults}))
        self._answers: dict[str, bool | ResilienceError] = {
            name: VaultError(f"{name} did not answer yet", "it was asked just now", "ship asks on.")
            for name in self._vaults
        }
        self._ended = threading.Event()
        self._looked, self._mark = 0.0, spool.end
        self._patience, self._until = STILL, 0.0
        for vault in self._vaults.values():
            threading.Thread(target=self._ask, args=(vault,), name=f"turning-{vault.name}", daemon=True).start()

    def _ask(self, vault: Vault) -> None:
        """Until it shows the epoch: objects are written once, so it always will."""
        while self._answers[vault.name] is not True and not self._ended.is_set():
            try:
                found = epochs.read(vault, self.record.number, self._config.verify)
                self._answers[vault.name] = _absent(vault.name) if found is None else found == self.record
            except ResilienceError as error:
                self._answers[vault.name] = error
            self._ended.wait(ASK)

    def end(self) -> None:
        """Ask nobody any more."""
        self._ended.set()
        for vault in self._vaults.values():
            vault.close()

    def may_close(self) -> bool:
        """Whether this epoch can be closed where the spool ends now; looked at a few times a second."""
        if time.monotonic() < self._looked + POLL:
            return False
        self._looked = time.monotonic()
        self.obstacle = self._barred()
        if self.obstacle is not None:
            self.still = False
            return False
        self.obstacle = _lacking(self.record, self._spool, self._couriers)
        if self.obstacle is not None:
            self._hold_still()
        return self.obstacle is None

    def _hold_still(self) -> None:
        """Where a site writes all the time vaults always lack the last of it: it must stay in Postgres for a moment.

        Tried as soon as vaults have what there was at the last try, so that one which is far behind stops no stream.
        """
        if not self.still and _reached(self.record, self._spool, self._couriers) >= self._mark:
            self.still, self._until = True, time.monotonic() + self._patience
        elif self.still and time.monotonic() > self._until:
            self.still, self._mark, self._patience = False, self._spool.end, min(2 * self._patience, STILL_AT_MOST)

    def _barred(self) -> str | None:
        """Why it takes more than what is on its way to vaults; None where it does not."""
        record = self.record
        if absent := set(record.vaults) - {vault.name for vault in self._config.vaults}:
            return f"vaults of epoch {record.number} are not configured here: {', '.join(sorted(absent))}"
        if self._spool.start_record is None:
            return "nothing was shipped under the epoch before it yet"
        return _owed(record, self._spool, self._outbox) or self._unsealed()

    def _unsealed(self) -> str | None:
        """An epoch that is only in a few vaults could still lose against another of its number."""
        try:
            epochs.sealed_in(self.record, [epochs.Older(self._config.record, self._config.record.s)], self._answers)
        except ResilienceError as error:
            return error.what
        return None


def _absent(name: str) -> VaultError:
    return VaultError(f"{name} does not hold it", "nobody put it there yet", "Run the command that seals it again.")


def _noted(config: Config) -> dict[str, Any] | None:
    path = _path(config)
    value: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return value


def _path(config: Config) -> Path:
    return config.paths.spool / f"{config.record.number:08d}" / NAME
