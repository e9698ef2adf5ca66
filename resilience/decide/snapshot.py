"""The plan of a snapshot: one into each vault, read back; and standbys that no longer follow do so again.

A timer runs it as often as the fleet file says.
"""

from __future__ import annotations

from collections.abc import Iterator

from resilience.decide.quorum import newest_epoch
from resilience.errors import ResilienceError
from resilience.model import EpochRecord, Fleet, Phase, Plan, SiteOutputs, Step, Survey, known


def plan_snapshot(fleet: Fleet, survey: Survey) -> Plan:
    """A snapshot of whichever site may write, taken by a standby that follows it where there is one."""
    epoch = newest_epoch(survey)
    if epoch is None:
        raise ResilienceError("No vault shows an epoch.", "Nothing was ever shipped.", "Run `resilience up` first.")
    reason = "Less WAL to replay, and a copy that was read back."
    standby = following(fleet, survey, epoch)
    if standby is not None:
        reason += f" {standby} takes it: that costs {epoch.site} nothing, and nobody there can change it."
    args = {} if standby is None else {"standby": standby}
    step = Step(f"{Phase.PROTECT}.protect.{epoch.site}", "protect", epoch.site, Phase.PROTECT, reason, args)
    more = (*_mirrors(fleet, epoch.site), *_follow_again(fleet, survey, epoch))
    return Plan("snapshot", fleet.name, epoch.site, epoch.site, (step, *more))


def _mirrors(fleet: Fleet, site: str) -> Iterator[Step]:
    """Stores for copies only are brought up to date, where they are at another vendor than the site."""
    for spec in fleet.mirrors:
        if spec.vendor != fleet.site(site).vendor:
            reason = "It gets what it lacks of a vault; it seals nothing, and no site's host can write there."
            yield Step(f"{Phase.PROTECT}.mirror.{spec.name}", "mirror", spec.name, Phase.PROTECT, reason)


def _follow_again(fleet: Fleet, survey: Survey, epoch: EpochRecord) -> Iterator[Step]:
    """A standby whose host was started again has no keys any more: they are in memory only, and come from here."""
    for site in fleet.sites:
        seen = survey.sites[site.name]
        ours = site.standby == "hot" and site.name != epoch.site and site.name in survey.past.followed
        if ours and isinstance(seen.outputs, SiteOutputs) and (known(seen.ship) or {}).get("role") != "standby":
            reason = f"{site.name} followed before and does not now: it is given its keys again, and goes on from where it was."
            yield Step(f"{Phase.DATA}.follow.{site.name}", "follow", site.name, Phase.DATA, reason)


def following(fleet: Fleet, survey: Survey, epoch: EpochRecord) -> str | None:
    """The first standby that follows this epoch and can be read; None where the site must take its snapshots itself.

    So it must where WAL was lost: no standby gets past that.
    """
    if (known(survey.sites[fleet.site(epoch.site).name].ship) or {}).get("gap"):
        return None
    said = {s.name: known(survey.sites[s.name].ship) or {} for s in fleet.sites if s.name != epoch.site}
    ready = {"role": "standby", "epoch": epoch.number, "readable": True}
    return next((name for name, facts in said.items() if ready.items() <= facts.items()), None)
