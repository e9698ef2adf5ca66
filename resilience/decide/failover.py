"""The failover plan: seal first, promote late, move the name last, protect again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from resilience.decide.hazards import Way, hazards, lapse_s
from resilience.decide.opening import let_in, stages
from resilience.decide.quorum import lost_vendors, missed, newest_epoch, next_set, sealable, short_of, silent, usable
from resilience.decide.standby import no_way_on, stand_by
from resilience.decide.target import Wording, choose
from resilience.decide.vaults import join
from resilience.errors import ResilienceError
from resilience.model import Fleet, Phase, Plan, Stage, Step, Survey, lane


def _going(primary: str) -> Wording:
    return Wording(
        "Can't fail over to {}",
        "it is at a lost vendor, is the current primary, or is not declared",
        "No site is left to fail over to",
        "every other site is at a vendor that counts as lost; where "
        f"{primary} was never opened, and its vendor answers, it is gone to with --to {primary}",
    )


def plan_failover(
    fleet: Fleet,
    survey: Survey,
    *,
    to: str | None = None,
    declared: frozenset[str] = frozenset(),
    hold: Stage | None = None,
    force: bool = False,
) -> Plan:
    """What to do so that another site serves, without one call to a lost vendor.

    `declared` are vendors the operator says are lost; the current primary's vendor always is. A site that is named by the
    newest epoch and was never opened is no primary: it is the target, unless another one is asked for.
    With `force` it is planned even where too few vaults are left to fence the old site, or those left missed an epoch,
    with the hazards of that.
    The site is not opened as far as `hold`; `resilience open` goes on from there.
    Raises TooFewVaults when an epoch could not be sealed, UsageError for an impossible target.
    """
    old = newest_epoch(survey)
    if old is None:
        raise ResilienceError(
            "No vault shows an epoch.",
            "Either nothing was ever shipped, or no vault could be read.",
            "Run `resilience status` to see what each vault answers.",
        )
    source = fleet.site(old.site)
    to = to or (old.site if leads_on(fleet, survey, declared) else None)
    again = to == old.site and _idle(survey, old.site)
    lost = lost_vendors(fleet, survey, declared if again else declared | {source.vendor})
    left = [s.name for s in fleet.sites if s.vendor not in lost and (again or s.name != old.site)]
    target = choose(left, to, _going(old.site))
    in_doubt = short_of(fleet, survey, old, lost) is not None or missed(survey, old) is not None
    forced = force and bool(usable(fleet, survey, old, lost)) and in_doubt
    if not forced:
        sealable(fleet, survey, old, lost)
    unheard = silent(fleet, survey, lost) if forced else ()
    following = next_set(fleet, target, lost, frozenset(unheard))
    way = Way(old, target, following, lost, forced=forced, lapse_s=lapse_s(fleet, survey))
    steps = tuple(leaving(fleet, way, stages(hold)))
    found = (*hazards(fleet, survey, way), *no_way_on(fleet, target, lost))
    return Plan("failover", fleet.name, source.name, target, steps, found, tuple(sorted(lost)), unheard)


def leads_on(fleet: Fleet, survey: Survey, lost: frozenset[str]) -> bool:
    """Whether the site that the newest epoch names was never opened and can be gone on to: then it is not left."""
    old = newest_epoch(survey)
    if old is None or not survey.left_behind:
        return False
    vendor = fleet.site(old.site).vendor
    answers = vendor not in lost_vendors(fleet, survey, lost) and survey.accounts.get(vendor) in {True, None}
    return answers and _idle(survey, old.site)


def _idle(survey: Survey, site: str) -> bool:
    """Whether it is known that it does not serve: a site that was named and never opened may be gone to once more."""
    seen = survey.sites.get(site)
    return seen is not None and (seen.outputs is None or seen.serving is False)


def leaving(fleet: Fleet, way: Way, opened: tuple[Stage, ...]) -> Iterator[Step]:
    """The steps of this way, from the seal to the next standby."""
    old, target, following, lost = way.old, way.target, way.following, way.lost
    vaults = ", ".join(following.vaults)

    def step(action: str, phase: Phase, reason: str, subject: str = target, **args: Any) -> Step:
        return Step(f"{phase}.{action}.{subject}", action, subject, phase, reason, _plain(args))

    if way.planned:
        yield step("close", Phase.DECIDE, "Nobody reads or writes what is undone.", old.site, stage=str(Stage.CLOSED))
    seal = step(
        "seal",
        Phase.DECIDE,
        f"From here on {old.site} can get no write confirmed; {target} may write, into {vaults}.",
        number=old.number + 1,
        vaults=following.vaults,
        k=following.k,
        s=following.s,
    )
    yield replace(seal, args={**seal.args, "forced": True}) if way.forced else seal
    if way.planned:
        yield step("stand-down", Phase.DATA, "The old site stops; all it wrote is in the vaults, kept.", old.site)
    yield step("provision", Phase.PROVISION, f"Make the hosts of {target} from its stack.")
    follows = fleet.site(target).standby == "hot" and way.point is None
    warm = step("warm", Phase.PROVISION, "What comes next is loaded ahead of time, and waits.")
    yield from lane([warm], "beside") if follows else ()
    yield step("clear", Phase.PROVISION, "What an earlier time left there is set aside; nothing of it is trusted.")
    yield step("shape", Phase.PROVISION, "Install from the supplies in the vaults, nothing else.")
    yield from () if follows else (*lane(_lease(step, way), "beside"), warm)
    yield from _bring(step, way, follows=follows)
    yield from let_in(fleet, target, opened, lost, opened[-1] if opened else None)
    protection = (
        *join(fleet, target, old, following),
        step("sealable", Phase.PROTECT, "The next epoch could be sealed: this site can be left again."),
        step("protect", Phase.PROTECT, f"A verified copy again at another vendor: {vaults}."),
        step("state", Phase.PROTECT, "The stack's state goes into the vaults."),
    )
    yield from lane(protection, "beside") if opened else protection  # resolvers keep the old address for a while
    yield from stand_by(fleet, target, lost)


def _bring(step: Callable[..., Step], way: Way, *, follows: bool) -> Iterator[Step]:
    """Copy, ledger and what the app needs of pictures onto the host, and the app behind its gate, looked at.

    Where a standby waits for a lease first, ship and app come meanwhile, and may take as long as they like: the copy does
    not wait for them. A host that is made ready is so while it runs out.
    """
    ahead = follows and way.lapse_s > 0
    first = step("first", Phase.DATA, "Bring what must be there before anybody is let in.", beside=True)
    fetch = step("fetch", Phase.DATA, "Bring the ledger, whole.", beside=True)
    yield from _lease(step, way) if follows else ()
    yield _restore(step, way, then=ahead)
    yield step("recover", Phase.DATA, "Replay up to there, not a byte less; promote.", then=True)
    yield from () if ahead else (fetch,)
    if follows:
        reason = "Ship and the app start meanwhile; they wait for the promotion."
        yield step("begin", Phase.DATA, reason, beside=True)
    vaults = ", ".join(way.following.vaults)
    yield step("ship", Phase.DATA, f"What is written here is copied to {vaults} from the start.")
    yield first
    yield from (fetch,) if ahead else ()
    yield from _look(step, begun=follows, fetched=not ahead)


def _lease(step: Callable[..., Step], way: Way) -> Iterator[Step]:
    if way.lapse_s:
        reason = f"Let the lease of {way.old.site} run out, {way.lapse_s:g} s from the seal: what it may still write reaches the vaults."
        yield step("lease", Phase.DATA, reason, seconds=way.lapse_s)


def _look(step: Callable[..., Step], *, begun: bool, fetched: bool) -> Iterator[Step]:
    """The app, looked at behind its gate: all of it once the ledger and what it needs of pictures are there.

    A hot standby has the pictures, so that neither the ledger nor an app that was begun waits for what it may still lack.
    """
    beside, then = {"beside": True}, {"then": True}
    reason = "Takedowns and erasures hold before anybody can read."
    yield step("ledger", Phase.DATA, reason, **beside if begun and fetched else then)
    yield step("start", Phase.START, "Start the app, behind a closed gate.", **then if begun else beside)
    yield step("verify", Phase.START, "Rows, pictures and takedowns agree; a user gets through.")


def _restore(step: Callable[..., Step], way: Way, *, then: bool) -> Step:
    after = {"then": True} if then else {}
    if way.point is None:
        return step("restore", Phase.DATA, "Newest good snapshot, and the WAL that any vault holds.", **after)
    reason = f"The snapshot before {way.point.lsn} of epoch {way.point.epoch}, and the WAL up to exactly there."
    return step("restore", Phase.DATA, reason, until=way.point.until, **after)


def _plain(args: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in args.items()}
