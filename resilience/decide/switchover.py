"""The switchover: a planned move while everything lives, with no lost write; refused on any doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from resilience.decide.certificates import unusable
from resilience.decide.hazards import Way, hazards
from resilience.decide.heard import follows, unheard
from resilience.decide.opening import let_in, stages
from resilience.decide.quorum import missed, newest_epoch, next_set, usable
from resilience.decide.target import Wording, choose
from resilience.decide.vaults import ending, join
from resilience.errors import Refused, ResilienceError
from resilience.model import EpochRecord, Fleet, Hazard, Phase, Plan, SiteReading, Stage, Step, Survey, Unknown, lane

MOOT = frozenset({"old-name-served"})
"""Hazards of a vendor that is left behind: here the old one's zone is moved like all others."""
MOVING = Wording(
    "Can't switch over to {}", "it serves already, or it is not declared", "There is no other site", "none is declared"
)


def plan_switchover(
    fleet: Fleet,
    survey: Survey,
    *,
    to: str | None = None,
    pictures_until: float | None = None,
    leaving: frozenset[str] = frozenset(),
) -> Plan:
    """Steps that let another site serve; the old one stops first and says what it wrote last.

    `pictures_until` is when it goes on although old pictures are still to come: a notice has a deadline.
    `leaving` are vendors that are still there and won't be: none of them is gone to, and no vault of theirs counts afterwards.
    Refused unless the site that serves, its vaults, all zones and the target's vendor answer as they should.
    """
    old = newest_epoch(survey)
    if old is None:
        raise ResilienceError(
            "No vault shows an epoch.",
            "Either nothing was ever shipped, or no vault could be read.",
            "Run `resilience status` to see what each vault answers.",
        )
    others = [site.name for site in fleet.sites if site.name != old.site and site.vendor not in leaving]
    target = choose(others, to, MOVING)
    if doubts := tuple(_doubts(fleet, survey, old, target)):
        raise Refused(
            f"{old.site} is not switched to {target}: {doubts[0]}.",
            " ".join(f"{doubt[0].upper()}{doubt[1:]}." for doubt in doubts[1:])
            or "A switchover loses nothing, or it is not done.",
            "Mend that and plan again. If the old site is lost, it is a failover: `resilience plan`.",
        )
    following = next_set(fleet, target, leaving)
    way = Way(old, target, following, frozenset(), planned=True, leaving=leaving)
    hot = target in survey.sites and follows(survey.sites[target].ship)
    found = [*(h for h in hazards(fleet, survey, way) if h.name not in MOOT), *_pause(target, hot=hot)]
    seen = survey.sites[old.site].stage
    opened = tuple(stage for stage in stages(None) if not isinstance(seen, Unknown) and seen.covers(stage))
    steps = _steps(fleet, way, opened, pictures_until, hot=hot)
    return Plan("switchover", fleet.name, old.site, target, tuple(steps), tuple(found))


def _doubts(fleet: Fleet, survey: Survey, old: EpochRecord, target: str) -> Iterator[str]:
    yield from _unfit(old.site, survey.sites.get(fleet.site(old.site).name))
    if len(usable(fleet, survey, old, frozenset())) < len(old.vaults):
        yield f"not every vault of epoch {old.number} answers"
    if why := missed(survey, old):
        yield f"{why[0].lower()}{why[1:]}"
    if survey.accounts.get(fleet.site(target).vendor) not in {True, None}:
        yield f"{fleet.site(target).vendor} does not say that our account is open"
    if why := unusable(fleet, survey):
        yield f"{target} would have no certificate: {why}"
    for vendor, zone in survey.zones.items():
        if isinstance(zone.addresses, Unknown):
            yield f"{vendor} does not say where the name leads: {zone.addresses.why}"


def _unfit(site: str, source: SiteReading | None) -> Iterator[str]:
    """Why this site can't hand over."""
    if source is not None and source.outputs is None:
        yield f"this machine knows nothing of {site}'s hosts (`resilience stack restore {site}` brings it here)"
    elif source is None or source.serving is not True:
        yield f"{site} does not serve"
    elif isinstance(source.ship, Unknown):
        yield f"what {site} has shipped is not known: {source.ship.why}"
    elif why := unheard(site, source.ship):
        yield why
    elif isinstance(source.stage, Unknown):
        yield f"how far {site} is open is not known: {source.stage.why}"
    elif source.stage == Stage.CLOSED:
        yield f"{site} is closed, and what nobody can use can't be seen to have moved (`resilience open read-only` first)"


def _pause(target: str, *, hot: bool) -> Iterator[Hazard]:
    if not hot:
        why = f"{target} is cold: nobody can write while a copy is brought there; a hot standby pauses for seconds."
        yield Hazard("long-pause", why)


def _steps(
    fleet: Fleet, way: Way, opened: tuple[Stage, ...], pictures_until: float | None, *, hot: bool
) -> Iterator[Step]:
    """The move; the new site is opened as far as the old one was."""
    old, target, following = way.old, way.target, way.following

    def step(action: str, phase: Phase, reason: str, subject: str = target, **args: Any) -> Step:
        return Step(f"{phase}.{action}.{subject}", action, subject, phase, reason, args)

    numbers: dict[str, Any] = {
        "number": old.number + 1,
        "vaults": list(following.vaults),
        "k": following.k,
        "s": following.s,
    }
    vaults, ends = ", ".join(following.vaults), ending(fleet, way.leaving)
    left_out = f" {' and '.join(ends)} counts no more: the account there ends." if ends else ""
    yield from _hot(step, way) if hot else _cold(step, way, numbers, pictures_until)
    yield step("close", Phase.DECIDE, "Users go on reading; writes pause here.", old.site, stage=str(Stage.READ_ONLY))
    yield step("drain", Phase.DECIDE, "All vaults hold all that was written, or it goes on as before.", old.site)
    yield step("seal", Phase.DECIDE, f"{old.site} can get no write confirmed; {target} may write.{left_out}", **numbers)
    yield step("stand-down", Phase.DATA, "The old site stops, and says what it wrote last.", old.site)
    yield step("shape", Phase.PROVISION, "Keys and settings of the new epoch.", beside=True)
    if hot:
        yield step("begin", Phase.DATA, "Ship and the app start meanwhile; they wait for the promotion.", then=True)
    yield step("restore", Phase.DATA, "Newest good snapshot, and the WAL that any vault holds.")
    yield step("fetch", Phase.DATA, "Bring the ledger, whole.", beside=True)
    yield step("recover", Phase.DATA, "Replay to the end of the chain, not a byte less; promote.")
    yield step("ship", Phase.DATA, f"What is written here is copied to {vaults} from the start.")
    yield step("first", Phase.DATA, "Bring what must be there before anybody is let in.", beside=True)
    ledger = step("ledger", Phase.DATA, "Takedowns and erasures hold before anybody can read.")
    yield from lane([ledger], "beside" if hot else "then")
    yield step("start", Phase.START, "Start the app, behind a closed gate.", then=True)
    yield step("verify", Phase.START, "Rows, pictures and takedowns agree; a user gets through.")
    yield from let_in(fleet, target, opened, frozenset(), opened[-1])
    yield from join(fleet, target, old, following, ends)
    yield step("sealable", Phase.PROTECT, "The next epoch could be sealed: this site can be left again.")
    yield step("protect", Phase.PROTECT, f"A verified copy again at another vendor: {vaults}.")
    yield step("state", Phase.PROTECT, "The stack's state goes into the vaults.")


def _made(step: Callable[..., Step], target: str) -> Iterator[Step]:
    yield step("provision", Phase.PROVISION, f"Make the hosts of {target} from its stack.")
    yield step("clear", Phase.PROVISION, "What an earlier time left there is set aside; nothing of it is trusted.")


def _cold(
    step: Callable[..., Step], way: Way, numbers: Mapping[str, Any], pictures_until: float | None
) -> Iterator[Step]:
    """All that takes long and can be done while users still write."""
    target = way.target
    yield from _made(step, target)
    yield step("prepare", Phase.PROVISION, "Install while users still write.", **numbers)
    reason = f"Bring the pictures while users still write: once {target} is open, nobody waits for an old one."
    if pictures_until is None:
        yield step("ahead", Phase.PROVISION, reason)
    else:
        last = f"{datetime.fromtimestamp(pictures_until, UTC):%Y-%m-%d %H:%M UTC}"
        yield step("ahead", Phase.PROVISION, f"{reason} At {last} it goes on all the same.", until=pictures_until)
    yield _copy(step, way)


def _hot(step: Callable[..., Step], way: Way) -> Iterator[Step]:
    """The host has nearly all already."""
    yield from _made(step, way.target)
    reason = "Every picture that its rows name is there, or in a vault, or nothing is closed."
    yield step("ahead", Phase.PROVISION, reason, follows=True)
    yield _copy(step, way)
    yield step("warm", Phase.PROVISION, "What comes next is loaded ahead of time, and waits.", beside=True)


def _copy(step: Callable[..., Step], way: Way) -> Step:
    reason = f"A fresh snapshot, so that little is left to replay at {way.target}."
    return step("snapshot", Phase.PROVISION, reason, way.old.site)
