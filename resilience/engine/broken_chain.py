"""A chain that is broken in all vaults: a failover stops there, and goes on only up to where data is good, on purpose.

What is accepted is journalled with what it loses; a verdict over such a journal is never `met`.
"""

from __future__ import annotations

from resilience.engine.run import Run, written_by
from resilience.errors import Refused, UsageError
from resilience.model import Event, Plan
from resilience.ports import World
from resilience.replication import lsn

HAZARD = "broken-chain"


def accept_end(world: World, plan: Plan | None, end: str, accepted: frozenset[str]) -> None:
    """Journal that this plan's chain ends here; refused unless it stopped at exactly this position, and by name.

    Typed again after the restore went on from there, it was accepted already.
    """
    broken = _stopped_at(world, plan)
    if plan is not None and broken is None and _accepted(world, plan) == _shown(end):
        return
    if plan is None or broken is None:
        raise UsageError(
            "No failover stopped at a broken chain.",
            "An end is accepted where a restore said what is missing, and nowhere else.",
            "Run the failover; where the chain is broken it says up to where data is good.",
        )
    until = str(broken.data["good_until"])
    good = until.split(maxsplit=1)[0].rstrip(",")
    if good != _shown(end):
        raise Refused(
            f"Data is good until {until}, not until {end}.",
            "An earlier end would lose more than is missing, a later one is not there.",
            f"Read again what is missing, then: --accept-end {good}",
        )
    if HAZARD not in accepted:
        raise Refused(
            f"Not accepted: {HAZARD}.",
            f"{broken.data['missing']} is in no vault: every write after {until} is lost, also where commits waited for vaults.",
            f"If that is what you want, add: --accept {HAZARD}",
        )
    facts = {"digest": plan.digest, "end": _shown(end), "missing": broken.data["missing"], "good_until": until}
    world.log.append(Event(world.clock.now(), "end-accepted", facts))


def accepted_end(run: Run) -> str | None:
    """Where the operator accepted that the chain ends, for this very plan."""
    return _accepted(run.world, run.plan)


def _accepted(world: World, plan: Plan) -> str | None:
    ends = [e for e in world.log.read() if e.kind == "end-accepted" and e.data["digest"] == plan.digest]
    return str(ends[-1].data["end"]) if ends else None


def _stopped_at(world: World, plan: Plan | None) -> Event | None:
    """The step that this plan stopped at last, if that was a broken chain whose good end is a position."""
    done = (event for event in (written_by(world, plan) if plan else ()) if event.kind in {"step-failed", "step-done"})
    last = {str(event.data["id"]): event for event in done}
    failed = [event for event in last.values() if event.kind == "step-failed"]
    broken = [event for event in failed if "/" in str(event.data.get("good_until", ""))]
    return broken[-1] if broken else None


def _shown(end: str) -> str:
    """A position as Postgres writes it."""
    try:
        return lsn.show(lsn.parse(end))
    except ValueError:
        raise UsageError(
            f"--accept-end {end} is no position.",
            "A position is written like 0/16B3748.",
            "Copy what the restore said.",
        ) from None
