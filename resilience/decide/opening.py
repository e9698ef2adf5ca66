"""Opening a site in stages, each with its own condition: a failover's last steps, and a plan of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from resilience.model import Fleet, Phase, Plan, Stage, Step

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


def plan_open(fleet: Fleet, site: str, seen: Stage, wanted: Stage, lost: frozenset[str]) -> Plan:
    """Open the site that may write from the stage it is at up to another one, or close it down to one."""
    if not wanted.covers(seen):
        reason = "From now on no more than this is let through."
        args = {"stage": str(wanted)}
        return _plan(fleet, site, lost, [Step(f"{Phase.START}.close.{site}", "close", site, Phase.START, reason, args)])
    further = [stage for stage in NEEDS if not seen.covers(stage) and wanted.covers(stage)]
    look = Step(f"{Phase.START}.verify.{site}", "verify", site, Phase.START, "Rows, pictures and takedowns agree.")
    steps = [look, *opening(site, further, Phase.START), pictures(site)] if further else []
    return _plan(fleet, site, lost, steps)


def _plan(fleet: Fleet, site: str, lost: frozenset[str], steps: list[Step]) -> Plan:
    return Plan("open", fleet.name, site, site, tuple(steps), lost=tuple(sorted(lost)))
