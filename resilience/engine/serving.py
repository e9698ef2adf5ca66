"""Which site serves now, as the vaults say: the newest epoch's."""

from __future__ import annotations

from resilience.errors import ResilienceError
from resilience.model import Fleet, SiteOutputs
from resilience.ports import World
from resilience.replication.epoch import newest_of


def serving_site(world: World, fleet: Fleet) -> SiteOutputs:
    """The outputs of the site that the newest epoch names."""
    epoch = newest_of(world.vaults, world.signer.verify)
    site = fleet.site(epoch.site) if epoch else None
    outputs = world.clouds[site.name].outputs(site) if site else None
    if outputs is None:
        raise ResilienceError(
            "No site serves.",
            f"Epoch {epoch.number} names {epoch.site}, which has no hosts." if epoch else "No vault shows an epoch.",
            "Run `resilience status`.",
        )
    return outputs
