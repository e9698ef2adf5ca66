"""Whether a replay that stopped has really come to the end of the chain. Pure."""

from __future__ import annotations

from resilience.errors import ShortRecovery
from resilience.replication import lsn


def refuse_short(replayed: int, end: int, confirmed: int, wal: bytes, wal_start: int, segment_size: int) -> None:
    """ShortRecovery unless replay reached `end`, or only the beginning of a record is left there.

    `wal` is the assembled WAL from `wal_start` up to `end`, or at least for a page past `replayed`. Postgres itself promotes short without
    a word, so what it replayed is compared with what the chain holds.
    """
    if replayed >= end:
        return
    if replayed < wal_start:
        raise _short(replayed, end, confirmed, "Replay stopped far from the end of the chain.")
    if wal_start + len(wal) < min(end, replayed + lsn.PAGE):
        raise _short(replayed, end, confirmed, "The WAL that comes next is not on this host any more.")
    ends = lsn.record_end(wal, wal_start, replayed, segment_size)
    if ends is not None and ends <= end:
        why = (
            "no record begins there"
            if ends == replayed
            else f"the record there ends at {lsn.show(ends)}, within the chain"
        )
        raise _short(replayed, end, confirmed, f"Replay stopped before the end: {why}.")


def _short(replayed: int, end: int, confirmed: int, why: str) -> ShortRecovery:
    return ShortRecovery(
        f"Recovery ended at {lsn.show(replayed)}, short of {lsn.show(end)} (confirmed: {lsn.show(confirmed)}).",
        why,
        "Nothing was promoted. Look at Postgres' own log at that position; restore again, or from another snapshot.",
    )
