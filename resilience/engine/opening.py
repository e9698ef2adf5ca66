"""Opening: what is to be done so that more are let in at the site that may write, or fewer."""

from __future__ import annotations

from resilience.decide import plan_open
from resilience.engine.observe import read
from resilience.engine.run import plans_under
from resilience.errors import ResilienceError
from resilience.model import Fleet, Plan, SiteOutputs, Stage
from resilience.ports import World
from resilience.replication.epoch import newest_of


def plan_opening(
    world: World, fleet: Fleet, wanted: Stage, lost: frozenset[str], accepted: frozenset[str] = frozenset()
) -> Plan:
    """The plan, by what is seen now. Vendors that the plan which brought the site here counts as lost are lost here, too."""
    asked = {name: vault for name, vault in world.vaults.items() if fleet.vault(name).vendor not in lost}
    epoch = newest_of(asked, world.signer.verify)
    site = fleet.site(epoch.site) if epoch else None
    outputs = world.clouds[site.name].outputs(site) if site else None
    if epoch is None or outputs is None:
        raise ResilienceError("No site serves yet.", "No epoch, or no host.", "Run `resilience up` first.")
    gone = lost.union(*(plan.lost for plan in plans_under(world.log.read(), epoch.nonce)))
    seen = world.gate.stage(outputs)
    astray = wanted.covers(seen) and wanted != Stage.CLOSED and _led_astray(world, fleet, outputs, gone)
    return plan_open(fleet, epoch, seen, wanted, gone, accepted, led_astray=astray)


def _led_astray(world: World, fleet: Fleet, outputs: SiteOutputs, lost: frozenset[str]) -> bool:
    """Whether a DNS vendor that is left leads users elsewhere, or may; or whether none is left to lead them anywhere."""
    left = [zone.vendor for zone in fleet.names.zones if zone.vendor not in lost]
    shown = [read(lambda: tuple(world.zones[vendor].addresses(fleet.names.host))) for vendor in left]  # noqa: B023
    return not left or any(addresses != outputs.addresses[:1] for addresses in shown)


def stage_of(world: World, fleet: Fleet, site: str) -> Stage:
    """How far a site is open that was just brought there; closed where it has no host."""
    outputs = world.clouds[site].outputs(fleet.site(site))
    return world.gate.stage(outputs) if outputs else Stage.CLOSED


def leads(plan: Plan) -> bool:
    """Whether this plan led users by name to its site."""
    return any(step.action == "point" for step in plan.steps)
