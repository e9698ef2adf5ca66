"""Where a restore in the simulation would end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from resilience.errors import NoSnapshot, Refused
from resilience.model import Point
from resilience.replication import lsn
from resilience.replication.scratch import Moment
from resilience.simulation import merging
from resilience.simulation.state import Held, Rows, State


def find(state: State, left_out: frozenset[str], at: str | None, of: int | None) -> Point:
    """The point that a time or a position names, in the newest history or in an epoch's."""
    vaults, newest = _vaults(state, left_out)
    kept, all_there_is = rows(state, left_out, at, of), sorted((merging.shipped(vaults, newest) or {}).values())
    if of is None and len(kept) == len(all_there_is):
        raise _outside(at)
    return Point(
        epoch=of or newest,
        lsn=lsn.show(len(kept)),
        at=max(kept.values()),
        snapshot="simulated",
        end_epoch=newest,
        end_lsn=lsn.show(len(all_there_is)),
        end_at=all_there_is[-1],
    )


def rows(state: State, left_out: frozenset[str], at: str | None, of: int | None) -> Rows:
    """What the vaults hold up to there."""
    moment = Moment.parse(at)
    vaults, newest = _vaults(state, left_out)
    there = merging.shipped(vaults, of or newest) or {}
    count = moment.position or sum(moment.at is None or when <= moment.at for when in there.values())
    if not 0 < count <= len(there):
        raise _outside(at)
    return merging.first_rows(there, count)


def tally(rows: Rows) -> tuple[int, str]:
    """How many rows, and a hash of them that no order changes."""
    return len(rows), hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()


def seen_with(held: Held, witness: Mapping[str, Any]) -> dict[str, Any]:
    """What this vault alone shows of the primary's rows, as they were when it was seen."""
    there = merging.shipped([held], witness["epoch"]) or {}
    count, digest = tally({row: when for row, when in there.items() if when <= witness["at"]})
    return {"end_lsn": witness["position"], "rows": count, "digest": digest, "tables": {"writes": (count, digest)}}


def _vaults(state: State, left_out: frozenset[str]) -> tuple[list[Held], int]:
    """The vaults that answer, and the newest epoch under which anything was shipped."""
    vaults = list(merging.readable(state, left_out).values())
    opened = {number for held in vaults for number in held.chains if merging.shipped(vaults, number)}
    if not opened:
        raise NoSnapshot("No vault holds any row.", "Nothing was ever shipped.", "See `resilience status`.")
    return vaults, max(opened)


def _outside(at: str | None) -> Refused:
    return Refused(f"{at or 'That epoch'} is not within what the vaults hold.", "Nothing is there.", "Ask for another.")
