"""An epoch's record in several vaults: what it says, and which one counts where two that its site signed differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from resilience.errors import BrokenChain
from resilience.model import EpochRecord
from resilience.replication import layout, lsn
from resilience.replication.chunk import Opening, Start


def meaning(said: object) -> object:
    """What a record says of the history; when it was put, and what was confirmed by then, may differ between two tries."""
    if isinstance(said, Opening):
        return said.parent, said.end, said.timeline, said.system_id
    if isinstance(said, Start):
        return said.start, said.timeline, said.system_id, said.history
    return said


def may_be_held(side: Collection[str], silent: Collection[str], records: Collection[EpochRecord]) -> bool:
    """Whether these vaults, with those that do not answer, are as many as may have taken for held what they have."""
    return any(len(frozenset(record.vaults) & {*side, *silent}) >= record.k for record in records)


def that_k_hold(
    sides: Collection[list[str]], silent: Collection[str], records: Collection[EpochRecord]
) -> list[str] | None:
    """Of vaults that give different things those that are k of an epoch's, where no others can be; else None."""
    may = [side for side in sides if may_be_held(side, silent, records)]
    return may[0] if len(may) == 1 and may_be_held(may[0], (), records) else None


def that_counts(held: Mapping[str, object], silent: Collection[str], record: EpochRecord, key: str) -> str:
    """A vault whose record counts: one of those that k of the epoch's vaults hold, where no other can be in k of them.

    It is put into k vaults before anything is acknowledged that rests on it. BrokenChain where that does not tell.
    """
    sides: dict[object, list[str]] = {}
    for vault, said in held.items():
        sides.setdefault(meaning(said), []).append(vault)
    if len(sides) == 1:
        return next(iter(held))
    counts = that_k_hold(sides.values(), silent, (record,))
    if counts is not None:
        return counts[0]
    told = "; ".join(f"{_shown(held[side[0]])} in {', '.join(side)}" for side in sides.values())
    raise BrokenChain(
        f"one {key} that counts ({told})",
        f"what epoch {record.number} goes on from",
        f"Its site's key signed all of them, and too few of its vaults answer to tell which {record.k} of them hold. Bring back those that do not "
        f"answer; else find out which one is a thief's (when was it put, and by whom: the stores' versions and logs), and remove that {key}, "
        f"and what is below {layout.wal(record.number)} beside it, with the operator's credentials. See runbooks/credentials-stolen.md.",
    )


def _shown(said: object) -> str:
    if isinstance(said, Opening):
        return f"epoch {said.parent} up to {lsn.show(said.end)}"
    return f"from {lsn.show(said.start)} on timeline {said.timeline}" if isinstance(said, Start) else "another"
