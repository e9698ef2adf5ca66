"""Fleets by chance: how many vaults and quorums, which standbys follow, who leaves together, where the name is served."""

from __future__ import annotations

import random
from dataclasses import replace

from resilience.model import Fleet, Vendor, ZoneSpec
from resilience.model.fleet import Standby
from resilience.simulation import simulated_fleet
from tests.sim.stage import Stage, begun

MORE_VAULTS = ("dover", "fir")
ZONES = (("acorn", "dover"), ("acorn", "dover", "elm"), ("dover", "elm"), ("birch", "cedar"), ("acorn",))
LEAVE_TOGETHER = ("birch", "cedar", "dover", "elm")
LOCKED_DAYS = 30


def drawn(chance: random.Random) -> Fleet:
    """The drill's fleet with what a fleet file may say otherwise; its quorums always meet."""
    base = simulated_fleet()
    url = base.vaults[0].endpoint
    more = MORE_VAULTS[: chance.randrange(3)]
    vaults = (*base.vaults, *(replace(base.vaults[-1], name=name, vendor=name) for name in more))
    n = len(vaults)
    k = chance.randrange(2, n)
    s = chance.randint(max(n - k + 1, n // 2 + 1), n)
    zones = tuple(ZoneSpec(vendor, "powerdns", url) for vendor in chance.choice(ZONES))
    follows: dict[str, Standby] = {
        site: "hot" if chance.random() < odds else "cold" for site, odds in (("birch", 0.4), ("cedar", 0.2))
    }
    leaves = chance.choice(LEAVE_TOGETHER) if chance.random() < 0.3 else ""
    return replace(
        base,
        vendors=(
            *(replace(v, companions=(leaves,) if leaves and v.name == "acorn" else ()) for v in base.vendors),
            *(Vendor(name, account=url) for name in more if name not in {v.name for v in base.vendors}),
        ),
        sites=tuple(replace(site, standby=follows.get(site.name, site.standby)) for site in base.sites),
        vaults=tuple(replace(v, lock_days=LOCKED_DAYS if chance.random() < 0.3 else 0) for v in vaults),
        names=replace(base.names, zones=zones),
        replication=replace(base.replication, k=k, s=s, durability=chance.choice(("async", "quorum"))),
    )


def first_day(fleet: Fleet) -> Stage:
    """Acorn serves, and what is declared hot follows."""
    stage = begun(fleet)
    for site in fleet.sites[1:]:
        if site.standby == "hot":
            stage.operator.up(site.name)
    return stage


def traits(fleet: Fleet) -> tuple[str, ...]:
    """What is told of it where fleets are counted."""
    rules = fleet.replication
    hot = [site.name for site in fleet.sites[1:] if site.standby == "hot"]
    return (
        f"{len(fleet.vaults)} vaults",
        rules.durability,
        "hot" if hot else "cold",
        *(("locked",) if fleet.locked else ()),
        *(("companions",) if any(v.companions for v in fleet.vendors) else ()),
    )
