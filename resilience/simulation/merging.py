"""Where a new epoch begins: the chains of all vaults that answer, merged; never less than was confirmed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from resilience.errors import BrokenChain, Refused, ResilienceError, TooFewVaults
from resilience.model import EpochRecord
from resilience.replication import epoch as epochs
from resilience.replication import layout, lsn
from resilience.simulation.shipping import reachable
from resilience.simulation.state import Held, Host, Rows, State


def readable(state: State, left_out: frozenset[str] = frozenset()) -> dict[str, Held]:
    """Vaults that answer; asking one at a dead vendor is a call to it."""
    asked = {name: held for name, held in state.vaults.items() if name not in left_out}
    for name, held in asked.items():
        if held.vendor in state.dead:
            state.note_call(f"read {name}", held.vendor, by="host")
    return {name: held for name, held in asked.items() if held.vendor not in state.dead}


def opening(
    state: State,
    epoch: EpochRecord,
    host: Host,
    left_out: frozenset[str],
    *,
    forced: bool,
    until: Mapping[str, Any] | None = None,
) -> Rows:
    """The rows that this epoch begins with, recorded in k of its vaults at least."""
    there = reachable(state, host, epoch)
    mine = {name: held.chain(epoch.number) for name, held in there.items()}
    if len(mine) < epoch.k:
        raise TooFewVaults(
            f"Only {len(mine)} of {epoch.k} vaults take the opening record.",
            "It must lie where every later promotion looks.",
            "Bring a vault back and run the same command again. Nothing was promoted.",
        )
    if any(chain.shipped_by not in {0, host.number} for chain in mine.values()):
        raise ResilienceError(
            f"Epoch {epoch.number} was already written under, by a host that is gone.",
            "Another host may not go on under the same epoch.",
            "Plan again: the new plan seals the epoch after this one.",
        )
    if any(layout.epoch(epoch.number + 1) in held.objects for held in there.values()):
        raise Refused(
            f"Epoch {epoch.number + 1} is sealed by now.",
            "Somebody else took over while this promotion was under way.",
            "Plan again. Nothing was promoted.",
        )
    begun = [chain.opening for chain in mine.values() if chain.opening is not None]
    if begun:
        rows = _longest(begun)
    elif until is not None:
        vaults = readable(state, left_out)
        rows = first_rows(shipped(vaults.values(), int(until["epoch"])) or {}, lsn.parse(str(until["lsn"])))
        state.cut_off(set(rows))
    else:
        rows = _merged(readable(state, left_out), epoch, forced=forced)
    for held in there.values():
        held.open(epoch, rows, state.carried.get((epoch.site, epoch.number), epoch.number))
    return rows


def _merged(vaults: dict[str, Held], epoch: EpochRecord, *, forced: bool) -> Rows:
    """The newest opened epoch before this one, with everything that was shipped under it."""
    if not forced:
        refuse_blind(vaults, epoch.number)
    for number in range(epoch.number - 1, 0, -1):
        if (rows := shipped(vaults.values(), number)) is not None:
            return rows
    raise BrokenChain("everything", "the start", "Bring a vault back.")


def shipped(vaults: Iterable[Held], number: int) -> Rows | None:
    """All rows of an epoch, with those that it began with; None where it was not opened."""
    chains = [held.chains[number] for held in vaults if number in held.chains]
    opened = [chain.opening for chain in chains if chain.opening is not None]
    if not opened:
        return None
    rows = dict(_longest(opened))
    for chain in chains:
        rows.update(chain.rows)
    return rows


def first_rows(rows: Rows, count: int) -> Rows:
    """So many rows, in the order in which they were written."""
    return dict(sorted(rows.items(), key=lambda row: row[1])[:count])


def _records(vaults: dict[str, Held], number: int) -> list[EpochRecord]:
    objects = [held.objects.get(layout.epoch(number)) for held in vaults.values()]
    found = [epochs.decode(data, lambda _payload, _signature: True) for data in objects if data]
    return [record for record in found if record is not None]


def refuse_blind(vaults: dict[str, Held], before: int) -> None:
    """What k vaults hold is seen in one of any n - k + 1: of every epoch back to the newest that was opened."""
    for number in range(before - 1, 0, -1):
        for record in _records(vaults, number):
            _refuse_too_few(vaults, record)
        if any(number in held.chains and held.chains[number].opening is not None for held in vaults.values()):
            return


def _refuse_too_few(vaults: dict[str, Held], record: EpochRecord) -> None:
    seen = [name for name in record.vaults if name in vaults and vaults[name].rotten < record.number]
    needed = len(record.vaults) - record.k + 1
    if len(seen) < needed:
        raise TooFewVaults(
            f"Only {len(seen)} of the vaults of epoch {record.number} answer; {needed} are needed.",
            "What the others hold could be missed.",
            "Bring a vault back and run the same command again. Nothing was promoted.",
        )


def _longest(openings: list[Rows]) -> Rows:
    """One attempt may have recorded less than the next."""
    return max(openings, key=lambda rows: len(rows))  # noqa: PLW0108 - mypy takes no bare len here
