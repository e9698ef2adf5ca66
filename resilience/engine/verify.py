"""Verify: each vault by itself gives back what it acknowledged, and what the primary saw; what was found is signed and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resilience.engine import compare, proofs
from resilience.engine.observe import read
from resilience.errors import BrokenChain, ResilienceError, UsageError
from resilience.model import EpochRecord, Event, Fleet, Reading, Site, Unknown
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
    "compared",
    "not_compared",
    "compared_tables",
    "left_out",
    "unlike",
    "passed_over",
)
AWAIT_S = 60.0
"""So long it may take until the vaults hold what the primary was seen with."""
POLL_S = 1.0


def verify(
    world: World,
    fleet: Fleet,
    only: tuple[str, ...] = (),
    say: Callable[[str], None] = lambda _: None,
    *,
    primary: bool = True,
) -> dict[str, Mapping[str, Any]]:
    """Restore from one vault after the other, each up to where the primary was counted; findings by vault.

    Where it was not, or a vault lacks that yet, up to what the vault acknowledged; and where ship does not say what that is,
    all go up to where the first ended. Those that end at one position must agree on every row: a vault whose contents differ
    from the others' is no copy.
    """
    epoch = newest_of(world.vaults, world.signer.verify)
    writer = None if epoch is None else fleet.site(epoch.site)
    names = [name for name in (epoch.vaults if epoch else ()) if name in world.vaults] + list(world.mirrors)
    if unknown := [name for name in only if name not in names]:
        raise UsageError(
            f"{', '.join(unknown)} is no vault of the newest epoch.",
            "Only those hold everything.",
            f"They are: {', '.join(names) or 'none'}.",
        )
    wanted = only or tuple(names)
    if primary:
        say("the primary: counting")
    seen = compare.take(world, fleet, epoch) if primary else Unknown("the primary was left out")
    acknowledged = _awaited(world, fleet, epoch, seen, [name for name in wanted if name not in world.mirrors])
    found: dict[str, Mapping[str, Any]] = {}
    for name in wanted:
        say(f"{name}: restoring")
        first = None if name in world.mirrors else next((str(f["end_lsn"]) for f in found.values() if f["ok"]), None)
        reached = acknowledged.get(name)
        mine = _of(name, seen, reached, mirror=name in world.mirrors)
        up_to = reached if isinstance(mine, Unknown) else str(mine["position"])
        told = {**_one(world, name, up_to or first, mine), "acknowledged": up_to}
        found[name] = _newest_came(_agrees(compare.compared(mine, told), found), epoch)
        facts = {key: found[name].get(key) for key in (*KEPT, "what", "why") if key in found[name]}
        world.log.append(Event(world.clock.now(), "verified", {"vault": name, **facts}))
        proofs.keep(world, fleet.name, name, facts)
    if epoch is not None and writer is not None:
        _tell(world, writer, [name for name in found if found[name]["ok"] and name in epoch.vaults])
    return found


def _tell(world: World, site: Site, proven: Sequence[str]) -> None:
    """The site that may write shows it in its metrics; where it does not answer, what is signed and journalled stands."""

    def tell() -> None:
        outputs = world.clouds[site.name].outputs(site)
        if outputs is None:
            return
        for vault in proven:
            world.plane.proven(site, outputs, vault)

    read(tell)


def _awaited(
    world: World, fleet: Fleet, epoch: EpochRecord | None, seen: Reading[compare.Finding], vaults: Sequence[str]
) -> Mapping[str, str]:
    """By vault what it acknowledged, once each has what the primary was seen with, or the time for that is over."""
    until = world.clock.now() + AWAIT_S
    while True:
        acknowledged = _acknowledged(world, fleet, epoch)
        if isinstance(seen, Unknown) or world.clock.now() >= until:
            return acknowledged
        if all(_reaches(acknowledged.get(name), seen) for name in vaults):
            return acknowledged
        world.clock.sleep(POLL_S)


def _reaches(acknowledged: str | None, seen: compare.Finding) -> bool:
    return acknowledged is not None and lsn.parse(acknowledged) >= lsn.parse(str(seen["position"]))


def _of(
    name: str, seen: Reading[compare.Finding], acknowledged: str | None, *, mirror: bool
) -> Reading[compare.Finding]:
    """What the primary was seen with, where this vault goes there."""
    if isinstance(seen, Unknown) or _reaches(acknowledged, seen):
        return seen
    if mirror:
        return Unknown(f"{name} is a mirror: it ends where it was copied")
    reached = (
        f"{name} acknowledged no more than {acknowledged}" if acknowledged else f"ship does not say what {name} has"
    )
    return Unknown(f"the primary was counted at {seen['position']}, and {reached}")


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


def _one(world: World, name: str, at: str | None, seen: Reading[compare.Finding]) -> Mapping[str, Any]:
    try:
        return world.plane.verify(name, at, None if isinstance(seen, Unknown) else seen)
    except ResilienceError as error:
        good = {"good_until": error.good_until} if isinstance(error, BrokenChain) else {}
        return {"ok": False, "what": error.what, "why": error.why, "next": error.next, **good}


def _newest_came(this: Mapping[str, Any], epoch: EpochRecord | None) -> Mapping[str, Any]:
    """Not whole where a snapshot of the newest epoch had to be passed over: an older one is not what a failover counts on."""
    own = [one for one in this.get("passed_over", ()) if epoch is not None and one["epoch"] == epoch.number]
    if not this["ok"] or not own:
        return this
    return {
        **this,
        "ok": False,
        "what": f"{', '.join(str(one['snapshot'])[:8] for one in own)}, newer than what it gives back, could not be brought.",
        "why": f"{' '.join(str(one['why']) for one in own)} Restored instead: {str(this['snapshot'])[:8]}, and all WAL since, which is whole.",
        "next": "Take a new one (`resilience snapshot`) and verify again. If that can't be brought either, what snapshots share is "
        "damaged there: `resilience vault revert` brings back what was put first, where the vault keeps it.",
    }


def _agrees(this: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    for name, other in found.items():
        same = this["ok"] and other["ok"] and this["end_lsn"] == other["end_lsn"]
        if same and this["digest"] != other["digest"]:
            return {
                **this,
                "ok": False,
                "what": f"Its rows are not those of {name}.",
                "why": f"{this['rows']} rows, digest {this['digest']}; there {other['rows']}, {other['digest']}.",
                "next": "One of both was altered by somebody who can sign. Compare both with the primary.",
            }
    return this
