"""The plan that brings a site up: the first day, or again after a change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from resilience.decide.certificates import certify
from resilience.decide.hazards import lapse_s
from resilience.decide.locks import unlike
from resilience.decide.naming import pointing
from resilience.decide.opening import opening, stages
from resilience.decide.quorum import lost_vendors, newest_epoch, next_set, sealable
from resilience.decide.vaults import complete
from resilience.errors import Refused, UsageError
from resilience.model import Fleet, Phase, Plan, Step, Survey, Unknown


def plan_up(fleet: Fleet, survey: Survey, site: str, declared: frozenset[str] = frozenset()) -> Plan:
    """Steps that make `site` and, where it is the primary, let it serve; nothing of a vendor declared lost is called.

    Refused when vaults can't be read (a sealed epoch could be overlooked) on the first day, and with lost vendors where
    too few others answer to tell that no newer epoch was sealed.
    """
    if site not in {s.name for s in fleet.sites}:
        names = ", ".join(s.name for s in fleet.sites)
        raise UsageError(f"No site is called {site}.", "It is not declared.", f"Declared: {names}.")
    lost = lost_vendors(fleet, survey, declared) if declared else frozenset[str]()
    if fleet.site(site).vendor in lost:
        raise UsageError(
            f"{site} is at a lost vendor.", "Nothing of it is called.", "Plan a failover: `resilience plan`."
        )
    epoch = newest_epoch(survey)
    if epoch is None:
        _refuse_blind(survey)
    elif lost:
        sealable(fleet, survey, epoch, lost)
    if not may_be_primary(survey, site):
        steps = tuple(_standby(fleet, site))
    else:
        unlocked = [
            name for name, apart in unlike(fleet, survey).items() if apart and fleet.vault(name).vendor not in lost
        ]
        lapse = 0.0 if epoch is None else lapse_s(fleet, survey, without=site)
        steps = tuple(_primary(fleet, site, unlocked, lost, lapse, first_day=epoch is None))
    return Plan("up", fleet.name, site, site, steps, lost=tuple(sorted(lost)))


def may_be_primary(survey: Survey, site: str) -> bool:
    """Whether no epoch that is seen names another site."""
    epoch = newest_epoch(survey)
    return epoch is None or epoch.site == site


def _refuse_blind(survey: Survey) -> None:
    for name, reading in survey.vaults.items():
        if isinstance(reading.epoch, Unknown):
            raise Refused(
                f"Vault {name} can't be read: {reading.epoch.why}.",
                "It may hold an epoch; making a first one beside it would split the site in two.",
                "Bring the vault back, or take it out of the fleet file; then run this again.",
            )


def _step(site: str, action: str, phase: Phase, reason: str, **args: Any) -> Step:
    return Step(f"{phase}.{action}.{site}", action, site, phase, reason, args)


def _standby(fleet: Fleet, site: str) -> Iterator[Step]:
    if fleet.site(site).standby == "hot":
        yield _step(site, "supplies", Phase.PROVISION, "What hosts are set up from goes to the vaults.")
        yield from follow_steps(site)
    else:
        yield _step(site, "provision", Phase.PROVISION, "Make the hosts from the stack.")
    yield _step(site, "state", Phase.PROTECT, "The stack's state goes into the vaults.")


def follow_steps(site: str) -> Iterator[Step]:
    """What makes a site a hot standby of whichever site may write."""
    yield _step(site, "provision", Phase.PROVISION, "Make the hosts from the stack.")
    yield _step(site, "clear", Phase.PROVISION, "What an earlier time left there is set aside, and never trusted.")
    yield _step(site, "shape", Phase.PROVISION, "Install from the supplies in the vaults.", standby=True)
    yield _step(site, "follow", Phase.DATA, "Follow the primary from the vaults alone, ready to take over.")


def _primary(
    fleet: Fleet, site: str, unlocked: list[str], lost: frozenset[str], lapse: float, *, first_day: bool
) -> Iterator[Step]:
    chosen = next_set(fleet, site, frozenset())
    yield _step(site, "supplies", Phase.PROVISION, "What hosts are set up from goes to the vaults.")
    if first_day:
        args = {"number": 1, "vaults": list(chosen.vaults), "k": chosen.k, "s": chosen.s}
        reason = f"{site} may write, into {', '.join(chosen.vaults)}; nobody else."
        yield _step(site, "seal", Phase.DECIDE, reason, **args)
    yield _step(site, "provision", Phase.PROVISION, "Make the hosts from the stack.")
    if not first_day:
        yield _step(site, "recognize", Phase.PROVISION, "The database there is the one that its epoch was sealed for.")
    yield _step(site, "shape", Phase.PROVISION, "Install from the supplies in the vaults.")
    if first_day:
        yield _step(site, "create", Phase.DATA, "An empty database.")
    yield _step(site, "ship", Phase.DATA, "Ship from the first write on.")
    yield _step(site, "ledger", Phase.DATA, "Takedowns hold before anybody can read.")
    if lapse:
        reason = "A failover to here may have stopped half-way: let the old lease run out."
        yield _step(site, "lease", Phase.START, reason, seconds=lapse)
    yield _step(site, "start", Phase.START, "Start the app.")
    if first_day:
        yield from opening(site, stages(None), Phase.START, first_day=True)
    else:
        yield _step(site, "verify", Phase.START, "Rows, pictures and takedowns agree; a user gets through.")
    yield from pointing((zone for zone in fleet.names.zones if zone.vendor not in lost), site)
    yield from certify(fleet, site)
    yield from complete(site, unlocked)
    yield _step(site, "protect", Phase.PROTECT, "A snapshot in each vault, verified.")
    yield _step(site, "state", Phase.PROTECT, "The stack's state goes into the vaults.")
