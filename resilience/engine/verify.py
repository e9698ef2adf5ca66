"""Verify: each vault by itself gives back what it acknowledged to ship; what was found is signed and kept, vault by vault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from resilience.engine import proofs
from resilience.engine.observe import read
from resilience.errors import BrokenChain, ResilienceError, UsageError
from resilience.model import EpochRecord, Event, Fleet, Site, Unknown
from resilience.ports import World
from resilience.replication import lsn
from resilience.replication.epoch import newest_of

KEPT = (
    "ok",
    "snapshot",
    "end_lsn",
    "acknowledged",
    "restore_s",
    "replay_s",
    "replay_bytes",
    "seconds",
    "rows",
    "digest",
    "pictures",
)


def verify(
    world: World, fleet: Fleet, only: tuple[str, ...] = (), say: Callable[[str], None] = lambda _: None
) -> dict[str, Mapping[str, Any]]:
    """Restore from one vault after the other, each up to what it acknowledged; findings by vault.

    Where ship does not say what that is, all go up to where the first ended. Those that end at one position must agree
    on every row: a vault whose contents differ from the others' is no copy.
    """
    epoch = newest_of(world.vaults, world.signer.verify)
    names = [name for name in (epoch.vaults if epoch else ()) if name in world.vaults] + list(world.mirrors)
    if unknown := [name for name in only if name not in names]:
        raise UsageError(
            f"{', '.join(unknown)} is no vault of the newest epoch.",
            "Only those hold everything.",
            f"They are: {', '.join(names) or 'none'}.",
        )
    acknowledged = _acknowledged(world, fleet, epoch)
    found: dict[str, Mapping[str, Any]] = {}
    for name in only or tuple(names):
        say(name)
        first = None if name in world.mirrors else next((str(f["end_lsn"]) for f in found.values() if f["ok"]), None)
        told = {**_one(world, name, acknowledged.get(name, first)), "acknowledged": acknowledged.get(name)}
        found[name] = _agrees(told, found)
        facts = {key: found[name].get(key) for key in (*KEPT, "what", "why") if key in found[name]}
        world.log.append(Event(world.clock.now(), "verified", {"vault": name, **facts}))
        proofs.keep(world, fleet.name, name, facts)
    return found


def _acknowledged(world: World, fleet: Fleet, epoch: EpochRecord | None) -> Mapping[str, str]:
    """By vault up to where ship says that it took everything, of what k vaults hold; empty where ship is not reached."""
    ship = None if epoch is None else read(lambda: _ship(world, fleet.site(epoch.site)))
    if epoch is None or ship is None or isinstance(ship, Unknown) or ship.get("epoch") != epoch.number:
        return {}
    confirmed = lsn.parse(str(ship["confirmed_lsn"]))
    reached = {name: min(confirmed, lsn.parse(str(told["lsn"]))) for name, told in ship["vaults"].items()}
    return {name: lsn.show(position) for name, position in reached.items() if position}


def _ship(world: World, site: Site) -> Mapping[str, Any] | None:
    outputs = world.clouds[site.name].outputs(site)
    return None if outputs is None else world.plane.status(site, outputs)


def _one(world: World, name: str, at: str | None) -> Mapping[str, Any]:
    try:
        return world.plane.verify(name, at)
    except ResilienceError as error:
        good = {"good_until": error.good_until} if isinstance(error, BrokenChain) else {}
        return {"ok": False, "what": error.what, "why": error.why, "next": error.next, **good}


def _agrees(this: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    for name, other in found.items():
        same = this["ok"] and other["ok"] and this["end_lsn"] == other["end_lsn"]
        if same and this["digest"] != other["digest"]:
            return {
                "ok": False,
                "what": f"Its rows are not those of {name}.",
                "why": f"{this['rows']} rows, digest {this['digest']}; there {other['rows']}, {other['digest']}.",
                "next": "One of both was altered by somebody who can sign. Compare both with the primary.",
            }
    return this
