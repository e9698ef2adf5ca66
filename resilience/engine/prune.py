"""Prune: which snapshot of each vault all older things may give way to, and only one that was proven good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilience.engine.observe import read
from resilience.model import Event, Fleet, Unknown
from resilience.ports import World

DAY = 86400.0


def prune(world: World, fleet: Fleet, *, really: bool) -> dict[str, Mapping[str, Any]]:
    """Remove what is older than `keep_days` from each vault, up to the newest snapshot verified before that.

    The time that counts is when this journal saw the snapshot verified: a label says what its site wanted.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for name, snapshot in bases(world, fleet).items():
        done = read(lambda n=name, s=snapshot: world.plane.prune(n, s, really=really))  # type: ignore[misc]
        found[name] = {"error": done.why} if isinstance(done, Unknown) else done
        if really and "error" not in found[name]:
            world.log.append(Event(world.clock.now(), "pruned", {**found[name]}))
    return found


def bases(world: World, fleet: Fleet) -> dict[str, str]:
    """By vault the newest snapshot that was verified before the days that are kept; others have none."""
    until = world.clock.now() - fleet.replication.keep_days * DAY
    seen: dict[str, str] = {}
    for event in world.log.read():
        if (
            event.kind == "verified"
            and event.data["ok"]
            and event.when <= until
            and event.data["vault"] in {**world.vaults, **world.mirrors}
        ):
            seen[str(event.data["vault"])] = str(event.data["snapshot"])
    return seen
