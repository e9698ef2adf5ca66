"""The plan that changes the vault set of the site that serves: no stop, and never fewer copies than before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from resilience.decide.quorum import VaultSet, lost_vendors, newest_epoch, next_set, sealable
from resilience.errors import Refused, ResilienceError, UsageError
from resilience.model import EpochRecord, Fleet, Hazard, Phase, Plan, Step, Survey


def plan_vaults(
    fleet: Fleet, survey: Survey, *, without: frozenset[str] = frozenset(), declared: frozenset[str] = frozenset()
) -> Plan:
    """What to do so that the site that serves ships into the declared vaults, but not into those `without`.

    It has no steps where the set is as it should be. Raises TooFewVaults when the new epoch could not be sealed, and
    Refused when too few vaults would stay: then it takes two changes, one after the other.
    """
    old = newest_epoch(survey)
    if old is None:
        raise ResilienceError(
            "No vault shows an epoch.",
            "Nothing was ever shipped, or no vault could be read.",
            "See `resilience status`.",
        )
    site, lost = fleet.site(old.site), lost_vendors(fleet, survey, declared)
    if site.vendor in lost:
        raise ResilienceError(
            f"{site.name} is at a lost vendor.", "Its vault set is of no use to anybody.", "Plan a failover instead."
        )
    following = _chosen(fleet, site.name, without, lost)
    if (set(following.vaults), following.k, following.s) == (set(old.vaults), old.k, old.s):
        return Plan("vaults", fleet.name, site.name, site.name, (), (), tuple(sorted(lost)))
    _refuse_too_few_kept(old, following)
    sealable(fleet, survey, old, lost)
    steps = tuple(_steps(old, following))
    return Plan("vaults", fleet.name, site.name, site.name, steps, tuple(_hazards(following)), tuple(sorted(lost)))


def _chosen(fleet: Fleet, site: str, without: frozenset[str], lost: frozenset[str]) -> VaultSet:
    if unknown := without - {vault.name for vault in fleet.vaults}:
        raise UsageError(
            f"No vault is called {', '.join(sorted(unknown))}.",
            "A vault that is left out must be one that is declared.",
            f"Declared: {', '.join(vault.name for vault in fleet.vaults)}.",
        )
    left = replace(fleet, vaults=tuple(vault for vault in fleet.vaults if vault.name not in without))
    return next_set(left, site, lost)


def _refuse_too_few_kept(old: EpochRecord, following: VaultSet) -> None:
    kept = [name for name in following.vaults if name in old.vaults]
    if len(kept) < following.k:
        raise Refused(
            f"Only {', '.join(kept) or 'no vault'} would stay, and {following.k} must hold everything at any moment.",
            f"The set is {', '.join(old.vaults)} now and would be {', '.join(following.vaults)}.",
            "Add the new vaults first; once they hold a verified snapshot, leave out the old ones.",
        )


def _steps(old: EpochRecord, following: VaultSet) -> Iterator[Step]:
    site, number = old.site, old.number + 1
    new = [name for name in following.vaults if name not in old.vaults]
    vaults = ", ".join(following.vaults)

    def step(action: str, phase: Phase, reason: str, **args: object) -> Step:
        return Step(f"{phase}.{action}.{site}", action, site, phase, reason, args)

    everyone = sorted({*old.vaults, *following.vaults})
    if new:
        yield step("supplies", Phase.PROVISION, f"What hosts are set up from goes to {', '.join(new)} too.")
    yield step("admit", Phase.PROVISION, f"Its host is given what it needs to put into {vaults}.", vaults=everyone)
    yield step(
        "seal",
        Phase.DECIDE,
        f"From here on {site} ships into {vaults}; it goes on serving.",
        number=number,
        vaults=list(following.vaults),
        k=following.k,
        s=following.s,
        continues=old.number,
    )
    yield step(
        "turn", Phase.DATA, f"Ship goes on under epoch {number} where it is, on the same timeline.", number=number
    )
    if new:
        yield step("fill", Phase.DATA, f"Ledger and pictures that {', '.join(new)} lacks.", vaults=new)
    yield step("protect", Phase.PROTECT, f"A verified snapshot in each of {vaults}.")
    yield step("state", Phase.PROTECT, "The stack's state goes into the vaults.")


def _hazards(following: VaultSet) -> Iterator[Hazard]:
    if len(following.vaults) == 1:
        yield Hazard("single-vault-left", f"Only {following.vaults[0]} would hold copies afterwards.")
