"""The plan for the day a vendor leaves at which the app does not run: it goes on, and is protected again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from resilience.decide.hazards import every_name_lost, thin
from resilience.decide.naming import naming
from resilience.decide.quorum import VaultSet, lost_vendors, missed, newest_epoch, next_set, short_of, silent, usable
from resilience.decide.standby import no_way_on, stand_by
from resilience.decide.vaults import behind, change, complete, same, to_fill, whole_again
from resilience.errors import Refused, ResilienceError
from resilience.model import EpochRecord, Fleet, Hazard, Phase, Plan, Stage, Step, Survey, Unknown, known


def plan_protect(fleet: Fleet, survey: Survey, *, declared: frozenset[str] = frozenset(), force: bool = False) -> Plan:
    """What to do when the primary's own vendor is still there: users first, then another vault set, copies, a standby.

    Where too few vaults are left to seal a new epoch, the set can't change: that is a hazard, and the rest is done. With
    `force` it changes all the same, and first of all, since the site has stopped writing, or will: with the hazard of that.
    """
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
    if why := missed(survey, epoch):
        raise Refused(
            f"{epoch.site} can't go on by the vaults that are left.",
            f"{why}.",
            "Bring back a vault that holds it, or move by what is left: `resilience plan --force` says what is lost.",
        )
    if force and 0 < len(usable(fleet, survey, epoch, lost)) < epoch.s:
        return _forced(fleet, survey, epoch, lost)
    if force and epoch.parent and _writes(survey, epoch) is not True:
        return _turned(fleet, survey, epoch, lost)
    _refuse_idle(survey, epoch)
    following = _following(fleet, survey, epoch, lost)
    waits = _quorum(fleet) and _gap(survey, epoch) is not None
    lacking = to_fill(survey, epoch, following)
    steps = tuple(_steps(fleet, epoch, following, lost, _upto(survey, epoch), waits=waits, unfilled=lacking))
    hazards = (*_hazards(fleet, survey, epoch, following, lost), *no_way_on(fleet, epoch.site, lost))
    return Plan("protect", fleet.name, epoch.site, epoch.site, steps, hazards, tuple(sorted(lost)))


def _forced(fleet: Fleet, survey: Survey, epoch: EpochRecord, lost: frozenset[str]) -> Plan:
    """The plan that takes the set to what is left of it, whatever the vaults that are gone may hold.

    No vault is new in it: what the site shipped lies in those that stay, and only they can close the epoch before. Where
    one of them was left behind, and too few were not, it comes in again later, by `vaults`, unless there is no other.
    """
    unheard = silent(fleet, survey, lost)
    kept = replace(fleet, vaults=tuple(vault for vault in fleet.vaults if vault.name in epoch.vaults))
    following = next_set(kept, epoch.site, lost, frozenset(unheard))
    stuck = behind(survey, epoch, following)
    if stuck is not None and stuck.whole:
        following = next_set(kept, epoch.site, lost, frozenset((*unheard, *stuck.holes)))
    lacking = tuple(_no_copy_yet(survey, epoch, following))
    unfilled = frozenset() if stuck is None else frozenset(stuck.holes)
    steps = (
        *change(fleet, epoch, following, forced=True, unfilled=unfilled),
        *_steps(
            fleet,
            epoch,
            following,
            lost,
            _upto(survey, epoch),
            waits=_waits(fleet, survey, epoch, following),
            turned=True,
        ),
    )
    left = usable(fleet, survey, epoch, lost)
    why = (
        f"Only {len(left)} of the {epoch.s} vaults can be used that could tell whether another site was let write. Where one "
        f"was, it and {epoch.site} both write, and what one of them took is lost."
    )
    hazards = (Hazard("split-brain", why), *lacking, *thin(epoch, following))
    found = (*hazards, *every_name_lost(fleet, lost), *no_way_on(fleet, epoch.site, lost))
    return Plan("protect", fleet.name, epoch.site, epoch.site, steps, found, tuple(sorted(lost)), unheard)


def _no_copy_yet(survey: Survey, epoch: EpochRecord, following: VaultSet) -> Iterator[Hazard]:
    """Where WAL, pictures or keys may be in none of the vaults that are left: the host has the database, and no vault may give it back."""
    if lacks := "; ".join(_lacks(survey, epoch, following)):
        why = (
            f"Of the vaults that are left none may have everything: {lacks}. {epoch.site}'s host has the database, and goes on with "
            "it. Until the snapshot that this plan takes no vault may give that back, and commits that ask for the quorum wait. "
            "Pictures and persons' keys that they lack are on that host alone until its ship put them again: the plan waits for that."
        )
        yield Hazard("no-copy-yet", why)


def _lacks(survey: Survey, epoch: EpochRecord, following: VaultSet) -> Iterator[str]:
    ship = survey.sites[epoch.site].ship if epoch.site in survey.sites else Unknown("nobody asked it")
    if isinstance(ship, Unknown):
        yield f"what they lack its ship does not say ({ship.why})"
    elif gap := _gap(survey, epoch):
        yield f"nobody ever put {gap['from']} to {gap['until']} into any"
    if (stuck := behind(survey, epoch, following)) is not None:
        yield f"{stuck.whole} have everything, and it takes {following.k}; {stuck.lacks}"


def _gap(survey: Survey, epoch: EpochRecord) -> Mapping[str, str] | None:
    """WAL that is lost, as the site's ship says: until a snapshot leads past it no commit that waits is confirmed."""
    seen = survey.sites.get(epoch.site)
    found: Mapping[str, str] | None = None if seen is None else (known(seen.ship) or {}).get("gap")
    return found


def _waits(fleet: Fleet, survey: Survey, epoch: EpochRecord, following: VaultSet) -> bool | None:
    """Whether, once the set was forced, every commit waits for a copy that leads past lost WAL; None where ship says so only after it turned."""
    seen = survey.sites.get(epoch.site)
    if not _quorum(fleet):
        return False
    if seen is None or isinstance(seen.ship, Unknown):
        return None
    stuck = behind(survey, epoch, following)
    holes = () if stuck is None else stuck.holes.values()
    return _gap(survey, epoch) is not None or any(
        hole["from"] != hole["until"] or hole.get("emptied") for hole in holes
    )


def _quorum(fleet: Fleet) -> bool:
    return fleet.replication.durability == "quorum"


def _writes(survey: Survey, epoch: EpochRecord) -> bool:
    """Whether the site serves and its ship says that it goes on under this epoch."""
    seen = survey.sites.get(epoch.site)
    if seen is None or seen.serving is not True or isinstance(seen.ship, Unknown):
        return False
    return bool(seen.ship.get("epoch") == epoch.number)


def _turned(fleet: Fleet, survey: Survey, epoch: EpochRecord, lost: frozenset[str]) -> Plan:
    """The plan where somebody sealed an epoch by force and the site's host never heard of it: it is told now."""
    present = VaultSet(epoch.vaults, epoch.k, epoch.s)
    reason = f"Its host goes on under epoch {epoch.number}, which was sealed for it."
    turn = Step(f"{Phase.DATA}.turn.{epoch.site}", "turn", epoch.site, Phase.DATA, reason, {"forced": True})
    stuck = behind(survey, epoch, present)
    holed = [] if stuck is None else [*stuck.holes]
    left = [n for n in (*holed, *whole_again(fleet, present, holed)) if fleet.vault(n).vendor not in lost]
    lacking = tuple(_no_copy_yet(survey, epoch, present))
    waits = _waits(fleet, survey, epoch, present)
    rest = _steps(fleet, epoch, present, lost, _upto(survey, epoch), waits=waits, turned=True)
    steps = (turn, *complete(epoch.site, left), *rest)
    why = (
        f"Epoch {epoch.number} may have been sealed without the vaults that could tell whether another site was let write. "
        f"Where one was, it and {epoch.site} both write, and what one of them took is lost."
    )
    hazards = (Hazard("split-brain", why), *lacking, *every_name_lost(fleet, lost))
    found = (*hazards, *no_way_on(fleet, epoch.site, lost))
    return Plan("protect", fleet.name, epoch.site, epoch.site, steps, found, tuple(sorted(lost)))


def _refuse_idle(survey: Survey, epoch: EpochRecord) -> None:
    """A site that may write and does not serve was never opened, or stopped: nobody is to be led there by this plan."""
    seen = survey.sites.get(epoch.site)
    if seen is not None and seen.serving is False:
        raise ResilienceError(
            f"{epoch.site} may write and does not serve.",
            "A failover to it may have stopped half-way, or it stopped by itself.",
            f"Go on with `resilience failover`, or bring it back: `resilience up {epoch.site}`.",
        )


def _following(fleet: Fleet, survey: Survey, epoch: EpochRecord, lost: frozenset[str]) -> VaultSet:
    """The set without lost vaults; the present one where it is as it should be, or where it can't be changed."""
    wanted = _wanted(fleet, survey, epoch, lost)
    return VaultSet(epoch.vaults, epoch.k, epoch.s) if wanted is None or behind(survey, epoch, wanted) else wanted


def _wanted(fleet: Fleet, survey: Survey, epoch: EpochRecord, lost: frozenset[str]) -> VaultSet | None:
    if short_of(fleet, survey, epoch, lost) is not None or not fleet.vaults_for(epoch.site, lost):
        return None
    wanted = next_set(fleet, epoch.site, lost)
    kept = tuple(vault for vault in fleet.vaults if vault.name in epoch.vaults)
    if sum(vault.name in wanted.vaults for vault in kept) < wanted.k:
        return next_set(replace(fleet, vaults=kept), epoch.site, lost)
    return wanted


def _upto(survey: Survey, epoch: EpochRecord) -> Stage | None:
    """Whether users by name will write, as also where nobody says, or only read; None where the site is kept closed."""
    seen = survey.sites.get(epoch.site)
    if seen is None or isinstance(seen.stage, Unknown) or seen.stage.covers(Stage.WRITES):
        return Stage.WRITES
    return None if seen.stage == Stage.CLOSED else seen.stage


def _steps(
    fleet: Fleet,
    epoch: EpochRecord,
    following: VaultSet,
    lost: frozenset[str],
    upto: Stage | None,
    *,
    waits: bool | None,
    turned: bool = False,
    unfilled: frozenset[str] = frozenset(),
) -> Iterator[Step]:
    """Users first, then copies; the other way round where every commit `waits` for a copy, and so does whoever looks whether the app works.

    Where that is not known yet, ship is asked on the way: what it says decides whether a copy comes first.
    """
    site = epoch.site

    def step(action: str, phase: Phase, reason: str, subject: str = site, **args: object) -> Step:
        return Step(f"{phase}.{action}.{subject}", action, subject, phase, reason, args)

    left = [name for name in following.vaults if fleet.vault(name).vendor not in lost]
    copied = step(
        "protect", Phase.PROTECT, f"A verified copy at the vaults that are left: {', '.join(left) or 'none'}."
    )
    kept = (*(() if turned or same(epoch, following) else change(fleet, epoch, following, unfilled=unfilled)), copied)
    looked = step("verify", Phase.START, "Rows, pictures and takedowns agree; nothing was lost with the vendor.")
    # no name moves to where nobody may even read
    led = (looked, *(naming(fleet, site, lost, upto) if upto is not None else ()))
    if waits is None:
        why = "Before anybody posts, where ship says by now that WAL is lost: a verified copy that leads past it. Else nothing."
        yield step("bridge", Phase.PROTECT, why)
    yield from (*kept, *led) if waits else (*led, *kept)
    yield step(
        "sealable", Phase.PROTECT, f"A new epoch could be sealed: {following.s} of {', '.join(following.vaults)}."
    )
    yield step("state", Phase.PROTECT, "The stack's state goes into the vaults.")
    yield from stand_by(fleet, site, lost)


def _hazards(
    fleet: Fleet, survey: Survey, epoch: EpochRecord, following: VaultSet, lost: frozenset[str]
) -> Iterator[Hazard]:
    if (short := short_of(fleet, survey, epoch, lost)) is not None:
        why = (
            f"Only {', '.join(short.left) or 'no vault'} is left of {short.needed} that a new epoch needs: no failover from here, "
            f"and {epoch.site} stops writes once it can't tell whether it may still write. With --force the set becomes what "
            "is left."
        )
        yield Hazard("cannot-seal", why)
    wanted = _wanted(fleet, survey, epoch, lost)
    if wanted is not None and not same(epoch, wanted) and (stuck := behind(survey, epoch, wanted)) is not None:
        why = (
            f"The vault set stays as it is, with what is lost in it: of the vaults that would stay {stuck.whole} have everything, and "
            f"it takes {wanted.k}. {stuck.lacks}: left behind once, and not filled since. {stuck.mend}, then plan again."
        )
        yield Hazard("set-stays", why)
    yield from thin(epoch, following)
    yield from every_name_lost(fleet, lost)
