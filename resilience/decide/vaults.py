"""The plan that changes the vault set of the site that serves: no stop, and never fewer copies than before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resilience.decide.hazards import thin
from resilience.decide.quorum import VaultSet, lost_vendors, newest_epoch, next_set, sealable
from resilience.errors import Refused, ResilienceError, UsageError
from resilience.model import EpochRecord, Fleet, Phase, Plan, Step, Survey, Unknown, payload_only


def plan_vaults(
    fleet: Fleet,
    survey: Survey,
    *,
    without: frozenset[str] = frozenset(),
    declared: frozenset[str] = frozenset(),
    unfilled: frozenset[str] = frozenset(),
) -> Plan:
    """What to do so that the site that serves ships into the declared vaults, but not into those `without`.

    It has no steps where the set is as it should be, and none of it is `unfilled`. Raises TooFewVaults when the new epoch could not be sealed, and
    Refused when too few vaults would stay. From few vaults to many it takes two plans, one after the other (`is_half_way`).
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
    if same(old, following):
        steps = tuple(complete(site.name, [name for name in old.vaults if name in unfilled]))
        return Plan("vaults", fleet.name, site.name, site.name, steps, (), tuple(sorted(lost)))
    following = reachable(old, following)
    sealable(fleet, survey, old, lost)
    _refuse_behind(survey, old, following)
    lacking = unfilled | to_fill(survey, old, following)
    steps = (*change(fleet, old, following, unfilled=lacking), *_protect(old.site, following))
    return Plan("vaults", fleet.name, site.name, site.name, steps, tuple(thin(old, following)), tuple(sorted(lost)))


def _chosen(fleet: Fleet, site: str, without: frozenset[str], lost: frozenset[str]) -> VaultSet:
    if unknown := without - {vault.name for vault in fleet.vaults}:
        raise UsageError(
            f"No vault is called {', '.join(sorted(unknown))}.",
            "A vault that is left out must be one that is declared.",
            f"Declared: {', '.join(vault.name for vault in fleet.vaults)}.",
        )
    left = replace(fleet, vaults=tuple(vault for vault in fleet.vaults if vault.name not in without))
    return next_set(left, site, lost)


def same(old: EpochRecord, following: VaultSet) -> bool:
    """Whether the set is as it should be."""
    return (set(following.vaults), following.k, following.s) == (set(old.vaults), old.k, old.s)


def reachable(old: EpochRecord, following: VaultSet) -> VaultSet:
    """The set; where fewer vaults stay than it confirms by, the same vaults that confirm by those for now, and all of them seal.

    Refused where that were fewer than confirm today: new vaults hold nothing yet.
    """
    kept = _kept(old, following)
    if len(kept) >= following.k:
        return following
    if len(kept) < old.k:
        raise Refused(
            f"Only {', '.join(kept) or 'no vault'} would stay, and {old.k} must hold everything at any moment.",
            f"The set is {', '.join(old.vaults)} now and would be {', '.join(following.vaults)}.",
            "Add the new vaults first; once they hold a verified snapshot, leave out the old ones.",
        )
    return VaultSet(following.vaults, len(kept), max(following.s, len(following.vaults) - len(kept) + 1))


@dataclass(frozen=True, slots=True)
class Behind:
    """Why ship can't go on from the vaults that would stay: how many of them have everything, and what the others lack."""

    whole: int
    holes: Mapping[str, Mapping[str, str]]

    @property
    def lacks(self) -> str:
        """Which lacks what."""
        return ", ".join(f"{name} lacks {_told(hole)}" for name, hole in self.holes.items())

    @property
    def mend(self) -> str:
        """What to type."""
        return " and ".join(f"`resilience catch-up {name}`" for name in self.holes)


def _told(hole: Mapping[str, str]) -> str:
    if hole.get("emptied"):
        return "all that it held"
    return "pictures and keys alone" if hole["from"] == hole["until"] else f"{hole['from']} to {hole['until']}"


def left_behind(survey: Survey, old: EpochRecord, following: VaultSet) -> Mapping[str, Mapping[str, str]]:
    """Vaults that would stay and were left behind once, by what they lack, as the site's ship says; under another epoch no ship does."""
    told = _said(survey, old)
    return {name: hole for name in _kept(old, following) if (hole := told.get(name, {}).get("hole"))}


def _said(survey: Survey, old: EpochRecord) -> Mapping[str, Mapping[str, Any]]:
    """What the site's ship says of each vault; nothing where it says nothing."""
    seen = survey.sites.get(old.site)
    return {} if seen is None or isinstance(seen.ship, Unknown) else seen.ship.get("vaults", {})


def to_fill(survey: Survey, old: EpochRecord, following: VaultSet) -> frozenset[str]:
    """Those of them, and those that were emptied and count all the same, that answer.

    Who is silent would keep a new vault from being filled; `verify` tells of what it lacks once it is back.
    """
    emptied = {name for name, told in _said(survey, old).items() if told.get("emptied")}
    lacking = left_behind(survey, old, following).keys() | emptied & {*_kept(old, following)}
    return frozenset(name for name in lacking if not isinstance(survey.vaults[name].epoch, Unknown))


def behind(survey: Survey, old: EpochRecord, following: VaultSet) -> Behind | None:
    """Whether fewer vaults would stay that have everything than confirm: ship could not go on, and nothing would be confirmed meanwhile."""
    seen = survey.sites.get(old.site)
    if seen is None or isinstance(seen.ship, Unknown):
        return None
    holes = left_behind(survey, old, following)
    whole = len(_kept(old, following)) - len(holes)
    return Behind(whole, holes) if whole < following.k else None


def _kept(old: EpochRecord, following: VaultSet) -> list[str]:
    return [name for name in following.vaults if name in old.vaults]


def _refuse_behind(survey: Survey, old: EpochRecord, following: VaultSet) -> None:
    if (short := behind(survey, old, following)) is not None:
        raise Refused(
            f"Of the vaults that would stay {short.whole} have everything, and it takes {following.k}.",
            f"{short.lacks}: left behind once, and not filled since. Ship would wait for that, and no commit would be confirmed.",
            f"{short.mend}, then plan again.",
        )


def is_half_way(fleet: Fleet, plan: Plan) -> bool:
    """Whether the set of this plan confirms by fewer vaults than declared, until the next plan: most of them were empty."""
    seals = [step.args for step in plan.steps if step.action == "seal"]
    return any(seal["k"] < min(fleet.replication.k, len(seal["vaults"])) for seal in seals)


def change(
    fleet: Fleet,
    old: EpochRecord,
    following: VaultSet,
    *,
    forced: bool = False,
    unfilled: frozenset[str] = frozenset(),
) -> Iterator[Step]:
    """The set becomes this one while the site goes on serving; what is new, `unfilled` yet, or kept payloads alone, is filled. `forced` without the old quorum."""
    site, number = old.site, old.number + 1
    new = [name for name in following.vaults if name not in old.vaults]
    vaults = ", ".join(following.vaults)

    def step(action: str, phase: Phase, reason: str, **args: object) -> Step:
        return Step(f"{phase}.{action}.{site}", action, site, phase, reason, args)

    if new:
        everyone = sorted({*old.vaults, *following.vaults})
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
        **({"forced": True} if forced else {}),
    )
    yield step(
        "turn", Phase.DATA, f"Ship goes on under epoch {number} where it is, on the same timeline.", number=number
    )
    late = [name for name in following.vaults if name in unfilled and name not in new]
    if lacking := [*new, *late, *whole_again(fleet, following, [*new, *late])]:
        yield step("fill", Phase.DATA, f"Ledger and pictures that {', '.join(lacking)} lacks.", vaults=lacking)


def ending(fleet: Fleet, leaving: frozenset[str]) -> list[str]:
    """Vaults that will go with their vendors."""
    return [vault.name for vault in fleet.sealing if vault.vendor in leaving]


def join(fleet: Fleet, site: str, old: EpochRecord, following: VaultSet, ends: Sequence[str] = ()) -> Iterator[Step]:
    """Vaults that are in the set since the site was opened get what was put before they were.

    Where vaults end, all of the set get what any of those may have alone.
    """
    new = [name for name in following.vaults if name not in old.vaults]
    if new:
        reason = f"What hosts are set up from goes to {', '.join(new)} too."
        yield Step(f"{Phase.PROTECT}.supplies.{site}", "supplies", site, Phase.PROTECT, reason, {"vaults": new})
    yield from complete(site, list(following.vaults) if ends else [*new, *whole_again(fleet, following, new)], ends)


def complete(site: str, vaults: list[str], ends: Sequence[str] = ()) -> Iterator[Step]:
    """These vaults get what they lack of what the others hold; those that end must say what they hold."""
    if vaults:
        before = f", before {' and '.join(ends)} ends" if ends else ""
        reason = f"Ledger and pictures that {', '.join(vaults)} lacks{before}."
        args = {"vaults": vaults, **({"ends": list(ends)} if ends else {})}
        yield Step(f"{Phase.PROTECT}.fill.{site}", "fill", site, Phase.PROTECT, reason, args)


def whole_again(fleet: Fleet, following: VaultSet, new: list[str]) -> list[str]:
    """Locked vaults that count with whole pictures in this set, and may have kept payloads alone in a larger one."""
    apart = payload_only(fleet.locked, following.vaults, following.k)
    return [name for name in following.vaults if name in fleet.locked - apart and name not in new]


def _protect(site: str, following: VaultSet) -> Iterator[Step]:
    for action, reason in (
        ("protect", f"A verified snapshot in each of {', '.join(following.vaults)}."),
        ("state", "The stack's state goes into the vaults."),
    ):
        yield Step(f"{Phase.PROTECT}.{action}.{site}", action, site, Phase.PROTECT, reason)
