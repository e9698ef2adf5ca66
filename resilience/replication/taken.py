"""Whether an epoch can be opened: nobody shipped under it yet, and its names are free in enough vaults.

Only what its own site signed says that somebody wrote. Whoever has an older primary's credentials can put anything
under the names of an epoch that is yet to come, and nothing is written over.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

import structlog

from resilience.errors import Refused
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import chunk, layout
from resilience.replication.epoch import each
from resilience.replication.originals import Altered, read_good

log = structlog.get_logger()


class Names(Enum):
    """What a vault has under an epoch that is to be opened."""

    FREE = auto()
    TAKEN = auto()
    """By what its site did not sign."""
    WRITTEN = auto()
    """By its site, after it was opened once."""


def refuse_taken(vaults: Mapping[str, Vault], record: EpochRecord) -> None:
    """Refused where a host already shipped under this epoch, or where fewer than k vaults could take its records and WAL."""
    answers = each(vaults, lambda vault: names_in(vault, record))
    if Names.WRITTEN in answers.values():
        raise Refused(
            f"Epoch {record.number} has already been written under, and this host holds none of it.",
            "Restoring for it would end where its parent ended, and drop everything since.",
            "Plan again (`resilience plan`): the new plan seals a newer epoch and keeps what was written.",
        )
    taken = [name for name in record.vaults if answers.get(name) is Names.TAKEN]
    if len(taken) > len(record.vaults) - record.k:
        raise Refused(
            f"Epoch {record.number} can't be opened: what no site of it signed is under its names in {', '.join(taken)}.",
            f"It can't be written over, and {record.k} vaults must take this epoch's records. Somebody has the credentials of a primary.",
            f"Remove what is below {layout.wal(record.number)} there, with the operator's credentials, and run the same "
            "command again; or plan again (`resilience plan`): the new plan seals the next epoch, whose names may be free. "
            "See runbooks/credentials-stolen.md.",
        )
    if taken:
        log.warning("what no site of this epoch signed is under its names", epoch=record.number, vaults=taken)


def names_in(vault: Vault, record: EpochRecord) -> Names:
    """What one vault has under this epoch; an opening record of an earlier run is no sign of either."""
    number = record.number
    first = read_good(vault, layout.first(number), lambda data: chunk.decode_start(data, record))
    keys = vault.list(layout.wal(number))
    positions = [start for key in keys if (start := layout.chunk_start(key)) is not None]
    if isinstance(first, tuple) or any(_has_chunk(vault, record, start) for start in positions):
        return Names.WRITTEN
    others = [key for key in keys if key != layout.opening(number)]
    return Names.TAKEN if first or others or (keys and not _has_opening(vault, record)) else Names.FREE


def _has_chunk(vault: Vault, record: EpochRecord, start: int) -> bool:
    key = layout.chunk(record.number, start)
    return isinstance(read_good(vault, key, lambda data: chunk.decode(data, record)), tuple)


def _has_opening(vault: Vault, record: EpochRecord) -> bool:
    key = layout.opening(record.number)
    return not isinstance(read_good(vault, key, lambda data: chunk.decode_opening(data, record)), Altered)
