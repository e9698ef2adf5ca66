"""Prune: by which snapshots of each vault, all of them proven good, older things may go, and whether any may at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resilience.errors import Refused, ResilienceError
from resilience.model import Event, Fleet
from resilience.ports import World

DAY = 86400.0


def prune(world: World, fleet: Fleet, *, really: bool) -> dict[str, Mapping[str, Any]]:
    """Remove from each vault what no snapshot needs that was verified since the newest that was so `keep_days` ago, nor that one.

    The time that counts is when this journal saw the snapshot verified: a label says what its site wanted.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for name, proven in bases(world, fleet).items():
        try:
            _refuse_doubt(name, _trials(world)[name][-1])
            found[name] = world.plane.prune(name, proven, _unlabelled(world, fleet, name), really=really)
        except ResilienceError as error:
            found[name] = {"error": error.what, "why": error.why, "next": error.next}
            continue
        if really:
            world.log.append(Event(world.clock.now(), "pruned", {**found[name]}))
    return found


def bases(world: World, fleet: Fleet) -> dict[str, tuple[str, ...]]:
    """By vault the newest snapshot that was verified before the days that are kept, and all that were since; others have none.

    The oldest of these counts, and which that is the vault tells: a later trial may have had to go back behind an earlier one,
    and what it gave back then counts, too, though the trial failed for what it passed over.
    """
    until = world.clock.now() - fleet.replication.keep_days * DAY
    found: dict[str, tuple[str, ...]] = {}
    for name, trials in _trials(world).items():
        gave = [event for event in trials if event.data.get("snapshot")]
        aged = max((at for at, event in enumerate(gave) if event.data["ok"] and event.when <= until), default=None)
        if aged is not None:
            found[name] = tuple(dict.fromkeys(str(event.data["snapshot"]) for event in gave[aged:]))
    return found


def _unlabelled(world: World, fleet: Fleet, vault: str) -> tuple[str, ...]:
    """Copies in a vault that `prune` saw without a label `keep_days` ago, by this journal: whoever took one may date it at will."""
    until = world.clock.now() - fleet.replication.keep_days * DAY
    pruned = (event for event in world.log.read() if event.kind == "pruned" and event.data["vault"] == vault)
    return tuple(dict.fromkeys(one for event in pruned if event.when <= until for one in event.data.get("waiting", ())))


def _trials(world: World) -> Mapping[str, Sequence[Event]]:
    """By vault or mirror each `verify` of it, in order."""
    found: dict[str, list[Event]] = {}
    for event in world.log.read():
        if event.kind == "verified" and event.data["vault"] in {**world.vaults, **world.mirrors}:
            found.setdefault(str(event.data["vault"]), []).append(event)
    return found


def _refuse_doubt(vault: str, newest: Event) -> None:
    """Refused where the newest trial failed, or passed a snapshot over: what is older may be all that still restores."""
    if newest.data["ok"] and not newest.data.get("passed_over"):
        return
    told = "passed a newer snapshot over" if newest.data["ok"] else "found it not whole"
    raise Refused(
        f"Nothing was removed from {vault}: its newest trial {told}.",
        "What is older may be all that still restores.",
        f"Take a new snapshot, then `resilience verify --vault {vault}`; once that is good, prune again.",
    )
