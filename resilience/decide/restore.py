"""The plan for a restore into a site: a failover that ends where the operator says, to the same site or another."""

from __future__ import annotations

from resilience.decide.failover import leaving
from resilience.decide.hazards import Way, hazards, lapse_s
from resilience.decide.opening import stages
from resilience.decide.quorum import lost_vendors, newest_epoch, next_set, sealable
from resilience.decide.standby import no_way_on
from resilience.decide.target import Wording, choose
from resilience.errors import ResilienceError
from resilience.model import Fleet, Plan, Point, Stage, Survey

GOING_BACK = Wording(
    "Can't restore into {}",
    "it is at a lost vendor, or not declared",
    "No site is left to restore into",
    "every site is at a vendor that counts as lost",
)


def plan_restore(
    fleet: Fleet,
    survey: Survey,
    point: Point,
    *,
    to: str | None = None,
    declared: frozenset[str] = frozenset(),
    hold: Stage | None = None,
) -> Plan:
    """What to do so that the app serves what it had at this point; what was written after is cut off, and kept.

    A site that still serves stops first, and what it wrote last is in the vaults.
    Raises TooFewVaults when an epoch could not be sealed, UsageError for an impossible target.
    """
    old = newest_epoch(survey)
    if old is None:
        raise ResilienceError("No vault shows an epoch.", "Nothing was ever shipped.", "See `resilience status`.")
    lost = lost_vendors(fleet, survey, declared)
    left = [site.name for site in fleet.sites if site.vendor not in lost]
    target = choose(left, to or (old.site if old.site in left else None), GOING_BACK)
    sealable(fleet, survey, old, lost)
    seen = survey.sites.get(old.site)
    alive = fleet.site(old.site).vendor not in lost and seen is not None and seen.serving is True
    lapse = 0.0 if alive else lapse_s(fleet, survey)
    way = Way(old, target, next_set(fleet, target, lost), lost, planned=alive, lapse_s=lapse, point=point)
    found = (*hazards(fleet, survey, way), *no_way_on(fleet, target, lost))
    steps = tuple(leaving(fleet, way, stages(hold)))
    return Plan("restore", fleet.name, old.site, target, steps, found, tuple(sorted(lost)))
