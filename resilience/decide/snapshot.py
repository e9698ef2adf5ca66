"""The plan of a snapshot: one into each vault, read back. A timer runs it as often as the fleet file says."""

from __future__ import annotations

from collections.abc import Iterator

from resilience.decide.quorum import newest_epoch
from resilience.errors import ResilienceError
from resilience.model import Fleet, Phase, Plan, Step, Survey


def plan_snapshot(fleet: Fleet, survey: Survey) -> Plan:
    """A snapshot of whichever site may write."""
    epoch = newest_epoch(survey)
    if epoch is None:
        raise ResilienceError("No vault shows an epoch.", "Nothing was ever shipped.", "Run `resilience up` first.")
    reason = "Less WAL to replay, and a copy that was read back."
    step = Step(f"{Phase.PROTECT}.protect.{epoch.site}", "protect", epoch.site, Phase.PROTECT, reason)
    return Plan("snapshot", fleet.name, epoch.site, epoch.site, (step, *_mirrors(fleet, epoch.site)))


def _mirrors(fleet: Fleet, site: str) -> Iterator[Step]:
    """Stores for copies only are brought up to date, where they are at another vendor than the site."""
    for spec in fleet.mirrors:
        if spec.vendor != fleet.site(site).vendor:
            reason = "It gets what it lacks of a vault; it seals nothing, and no site's host can write there."
            yield Step(f"{Phase.PROTECT}.mirror.{spec.name}", "mirror", spec.name, Phase.PROTECT, reason)
