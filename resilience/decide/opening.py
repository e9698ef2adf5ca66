"""Opening a site in stages, each with its own condition: a failover's last steps, and a plan of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from resilience.decide.certificates import certify
from resilience.decide.naming import naming
from resilience.errors import UsageError
from resilience.model import EpochRecord, Fleet, Hazard, Phase, Plan, Stage, Step, lane

NEEDS = {
    Stage.READ_ONLY: "Anybody may read, once the ledger is replayed up to its newest entry.",
    Stage.WRITES: "Users may write, once rows and pictures agree.",
    Stage.SIGN_UPS: "New users may join, once a moderator reaches the queue.",
}


def stages(hold: Stage | None) -> tuple[Stage, ...]:
    """The stages to open, up to the one that is held."""
    return tuple(stage for stage in NEEDS if hold is None or not stage.covers(hold))


def opening(site: str, opened: Iterable[Stage], phase: Phase, *, first_day: bool = False) -> Iterator[Step]:
    """One step a stage."""
    for stage in opened:
        reason = "There is nothing yet that could come back." if first_day else NEEDS[stage]
        args = {"stage": str(stage), **({"first_day": True} if first_day else {})}
        yield Step(f"{phase}.open.{site}.{stage}", "open", site, phase, reason, args)


def pictures(site: str) -> Step:
    """What need not be there before anybody is let in: nobody waits for it."""
    reason = "Bring all other pictures, the newest first; until then they are not there."
    return Step(f"{Phase.PROTECT}.media.{site}", "media", site, Phase.PROTECT, reason)


ACCEPTABLE = {
    "loses-pictures": "Pictures that rows name and no vault has are gone.",
    "loses-writes": "What no vault holds is gone: pictures that rows name, too.",
    "missed-order": "An order that only vaults hold which do not answer is forgotten, and what it names may be shown.",
    "stale-ledger": "Takedowns that only vaults hold which do not answer are missed, and what they took down may be shown.",
}
"""What can be accepted once a site's epoch is sealed, where its plan did not, or another machine made it."""


def let_in(
    fleet: Fleet, site: str, opened: Sequence[Stage], lost: frozenset[str], upto: Stage | None
) -> Iterator[Step]:
    """Open these stages, and lead users there by name, who find it open `upto` there; nowhere where that is None.

    Sign-ups are opened once users get through; what nobody waits for comes beside all that.
    """
    yield from opening(site, [stage for stage in opened if stage != Stage.SIGN_UPS], Phase.START)
    if upto is not None:
        yield from naming(fleet, site, lost, upto, tuple(certify(fleet, site)))
    yield from lane(opening(site, [stage for stage in opened if stage == Stage.SIGN_UPS], Phase.NAME), "then")
    yield from lane([pictures(site)], "beside")


def plan_open(
    fleet: Fleet,
    epoch: EpochRecord,
    seen: Stage,
    wanted: Stage,
    lost: frozenset[str],
    accepted: frozenset[str] = frozenset(),
    *,
    led_astray: bool = False,
) -> Plan:
    """Open the site that may write from the stage it is at up to another one, or close it down to one.

    Where users are `led_astray` by the name, as by a failover that was held before it opened anything, it moves to the site
    as it would have there. What is `accepted`, by names of ACCEPTABLE, holds for this epoch from then on.
    """
    site = epoch.site
    if not wanted.covers(seen):
        if accepted:
            raise UsageError(
                f"{site} is open up to {seen}, and closing it down to {wanted} needs nothing that is accepted.",
                "A hazard is accepted where a site is looked at before it is opened.",
                f"Leave --accept out; or, to accept it and open nothing further, `resilience open {seen}` with it.",
            )
        reason = "From now on no more than this is let through."
        args = {"stage": str(wanted)}
        return _plan(fleet, site, lost, [Step(f"{Phase.START}.close.{site}", "close", site, Phase.START, reason, args)])
    further = [stage for stage in NEEDS if not seen.covers(stage) and wanted.covers(stage)]
    under = {"under": epoch.nonce} if accepted else {}
    look = Step(
        f"{Phase.START}.verify.{site}", "verify", site, Phase.START, "Rows, pictures and takedowns agree.", under
    )
    if led_astray and wanted != Stage.CLOSED:
        steps = [look, *let_in(fleet, site, further, lost, wanted)]
    else:
        steps = [look, *opening(site, further, Phase.START), pictures(site)] if further or accepted else []
    hazards = tuple(Hazard(name, ACCEPTABLE[name]) for name in sorted(accepted))
    return replace(_plan(fleet, site, lost, steps), hazards=hazards)


def _plan(fleet: Fleet, site: str, lost: frozenset[str], steps: list[Step]) -> Plan:
    return Plan("open", fleet.name, site, site, tuple(steps), lost=tuple(sorted(lost)))
