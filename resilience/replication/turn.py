"""Turning: the same host goes on under an epoch with another vault set, on the same timeline, and loses no byte.

Once the new epoch is sealed for good and k of the vaults that stay hold all that was shipped, the old one is closed at
that position, which is noted durably. The new one's opening record says the same to readers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from resilience.errors import Refused, ResilienceError, VaultError
from resilience.model import EpochRecord
from resilience.replication import chunk, lsn
from resilience.replication import epoch as epochs
from resilience.replication.config import Config, write_atomic
from resilience.replication.courier import Courier
from resilience.replication.lease import Lease
from resilience.replication.outbox import Outbox
from resilience.replication.quorum import held_by
from resilience.replication.spool import Spool

NAME = "turned"
POLL = 0.05
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

    Nothing is confirmed meanwhile: k of the vaults that stay get what was shipped, and the epoch before is closed there.
    """
    here = start(config)
    before = config.before
    if not config.forced or before is None or here.record != before.record:
        return here
    log.warning("the vault set changes by the operator's word alone", epoch=config.record.number)
    return close(before, config.record, _handed_over(before, config.record, wait))


def _handed_over(config: Config, record: EpochRecord, wait: Callable[[float], None]) -> int:
    """Where the spool ends, once k of the vaults of `record` hold everything up to there."""
    spool = Spool(config.paths.spool, config.record.number, config.record.vaults)
    spool.live()
    spool.floor(_began(config, spool))
    lease = Lease(config.record, config.verify, None)
    stay = config.open(tuple(name for name in config.record.vaults if name in record.vaults))
    _refuse_hole(config, record, spool, stay)
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


def _refuse_hole(config: Config, record: EpochRecord, spool: Spool, stay: Iterable[str]) -> None:
    """Refused where waiting can't help: this host no longer has what the vaults that stay lack."""
    holes = {name: hole for name in stay if (hole := spool.hole(name)) is not None}
    if spool.gap is not None:
        holes = {"every vault": spool.gap}
    elif sum(name not in holes for name in stay) >= record.k:
        return
    lacks = ", ".join(f"{name} lacks {lsn.show(hole.start)} to {lsn.show(hole.end)}" for name, hole in holes.items())
    raise Refused(
        f"Epoch {config.record.number} can't be closed: {lacks}.",
        "That WAL is no longer kept here, so whoever went on from the vaults that stay would find a hole. "
        "The database on this host is whole, and stays closed.",
        "Bring back a vault that holds it, or fail over to what the vaults hold: `resilience plan --force` says what is lost.",
    )


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


def close(config: Config, record: EpochRecord, end: int) -> Config:
    """Note that nothing is shipped under this epoch past `end`; the configuration to go on with."""
    value = {"record": asdict(record), "end": lsn.show(end)}
    write_atomic(_path(config), json.dumps(value, indent=1).encode())
    return config.under(record)


def obstacle(
    config: Config, record: EpochRecord, spool: Spool, couriers: Sequence[Courier], outbox: Outbox
) -> str | None:
    """Why this epoch can't be closed yet; None when it can."""
    if absent := set(record.vaults) - {vault.name for vault in config.vaults}:
        return f"vaults of epoch {record.number} are not configured here: {', '.join(sorted(absent))}"
    return _lacking(record, spool, couriers) or _owed(record, spool, outbox) or _unsealed(config, record)


def _lacking(record: EpochRecord, spool: Spool, couriers: Iterable[Courier]) -> str | None:
    """What keeps the vaults that stay from holding all that was shipped; None where they do."""
    if spool.gap is not None:
        return "WAL was lost: a snapshot must lead past it first"
    whole = [c for c in couriers if c.vault.name in record.vaults and spool.hole(c.vault.name) is None]
    if len(whole) < record.k or held_by(record.k, (c.put_upto for c in whole)) < spool.end:
        return f"fewer than {record.k} of the vaults that stay hold everything up to {lsn.show(spool.end)}"
    return None


def _owed(record: EpochRecord, spool: Spool, outbox: Outbox) -> str | None:
    """What the app was told is held, and that would be in fewer than k vaults of the new set; None where there is nothing."""
    whole = [name for name in spool.held() if name in record.vaults and spool.hole(name) is None]
    owed = outbox.owed(whole, record.k)
    if not owed:
        return None
    return f"fewer than {record.k} of the vaults that stay hold {owed[0]}" + (
        f" and {len(owed) - 1} more" if owed[1:] else ""
    )


def _unsealed(config: Config, record: EpochRecord) -> str | None:
    """An epoch that is only in a few vaults could still lose against another of its number."""
    names = {*record.vaults, *config.record.vaults}
    vaults = config.open(tuple(names))
    found = epochs.each(vaults, lambda vault: epochs.read(vault, record.number, config.verify))
    for vault in vaults.values():
        vault.close()
    answers = {
        name: _absent(name) if a is None else a if isinstance(a, ResilienceError) else a == record
        for name, a in found.items()
    }
    try:
        epochs.sealed_in(record, [epochs.Older(config.record, config.record.s)], answers)
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
