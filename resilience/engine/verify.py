"""Verify: each vault by itself gives the database back; what was found is journalled, vault by vault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from resilience.errors import BrokenChain, ResilienceError, UsageError
from resilience.model import Event, Fleet
from resilience.ports import World
from resilience.replication.epoch import newest_of

KEPT = ("ok", "snapshot", "end_lsn", "restore_s", "seconds", "rows", "digest", "pictures")


def verify(
    world: World, fleet: Fleet, only: tuple[str, ...] = (), say: Callable[[str], None] = lambda _: None
) -> dict[str, Mapping[str, Any]]:
    """Restore from one vault after the other, all up to the position where the first ended; findings by vault.

    They must agree on every row: a vault whose contents differ from the others' is no copy.
    """
    epoch = newest_of(world.vaults, world.signer.verify)
    names = [name for name in (epoch.vaults if epoch else ()) if name in world.vaults]
    if unknown := [name for name in only if name not in names]:
        raise UsageError(
            f"{', '.join(unknown)} is no vault of the newest epoch.",
            "Only those hold everything.",
            f"They are: {', '.join(names) or 'none'}.",
        )
    found: dict[str, Mapping[str, Any]] = {}
    for name in only or tuple(names):
        say(name)
        at = next((str(f["end_lsn"]) for f in found.values() if f["ok"]), None)
        found[name] = _agrees(_one(world, name, at), found)
        facts = {key: found[name].get(key) for key in (*KEPT, "what", "why") if key in found[name]}
        world.log.append(Event(world.clock.now(), "verified", {"vault": name, **facts}))
    return found


def _one(world: World, name: str, at: str | None) -> Mapping[str, Any]:
    try:
        return world.plane.verify(name, at)
    except ResilienceError as error:
        good = {"good_until": error.good_until} if isinstance(error, BrokenChain) else {}
        return {"ok": False, "what": error.what, "why": error.why, "next": error.next, **good}


def _agrees(this: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    for name, other in found.items():
        if this["ok"] and other["ok"] and this["digest"] != other["digest"]:
            return {
                "ok": False,
                "what": f"Its rows are not those of {name}.",
                "why": f"{this['rows']} rows, digest {this['digest']}; there {other['rows']}, {other['digest']}.",
                "next": "One of both was altered by somebody who can sign. Compare both with the primary.",
            }
    return this
