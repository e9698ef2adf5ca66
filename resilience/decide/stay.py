"""The plan for the day a vendor leaves at which the app does not run: it goes on, and is protected again."""

from __future__ import annotations

from collections.abc import Iterator

from resilience.decide.quorum import lost_vendors, newest_epoch
from resilience.errors import ResilienceError
from resilience.model import EpochRecord, Fleet, Hazard, Phase, Plan, Step, Survey


def plan_protect(fleet: Fleet, survey: Survey, *, declared: frozenset[str] = frozenset()) -> Plan:
    """What to do when the primary's own vendor is still there: users first, then copies where they are left."""
    epoch = newest_epoch(survey)
    if epoch is None:
        raise ResilienceError(
            "No vault shows an epoch.",
            "Nothing was ever shipped, or no vault could be read.",
            "See `resilience status`.",
        )
    lost = lost_vendors(fleet, survey, declared)
    if fleet.site(epoch.site).vendor in lost:
        raise ResilienceError(
            f"{epoch.site} is at a lost vendor.", "The app can't stay there.", "Plan a failover: `resilience plan`."
        )
    steps = tuple(_steps(fleet, epoch, lost))
    hazards = tuple(_hazards(fleet, epoch, lost))
    return Plan("protect", fleet.name, epoch.site, epoch.site, steps, hazards, tuple(sorted(lost)))


def _steps(fleet: Fleet, epoch: EpochRecord, lost: frozenset[str]) -> Iterator[Step]:
    site, left = epoch.site, _left(fleet, epoch, lost)

    def step(action: str, phase: Phase, reason: str, subject: str = site, **args: object) -> Step:
        return Step(f"{phase}.{action}.{subject}", action, subject, phase, reason, args)

    for zone in fleet.names.zones:
        if zone.vendor not in lost:
            yield step("point", Phase.NAME, f"Users find {site} through {zone.vendor}.", zone.vendor, site=site)
    yield step("confirm", Phase.NAME, f"A user's journey by {fleet.names.host} succeeds.", stage="writes")
    yield step("verify", Phase.PROTECT, "Rows, pictures and takedowns agree; nothing was lost with the vendor.")
    yield step("protect", Phase.PROTECT, f"A verified copy at the vaults that are left: {', '.join(left)}.")
    yield step("sealable", Phase.PROTECT, f"A new epoch could be sealed: {epoch.s} of {', '.join(epoch.vaults)}.")
    yield step("state", Phase.PROTECT, "The stack's state goes into the vaults.")


def _left(fleet: Fleet, epoch: EpochRecord, lost: frozenset[str]) -> list[str]:
    return [name for name in epoch.vaults if fleet.vault(name).vendor not in lost]


def _hazards(fleet: Fleet, epoch: EpochRecord, lost: frozenset[str]) -> Iterator[Hazard]:
    left = _left(fleet, epoch, lost)
    if len(left) < epoch.s:
        why = (
            f"Only {', '.join(left) or 'no vault'} is left of {epoch.s} that a new epoch needs: no failover from here."
        )
        yield Hazard("cannot-seal", why)
