"""What of a snapshot's plan is due: asked every few minutes, before anything is locked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from resilience.decide import plan_snapshot
from resilience.decide.replaying import due
from resilience.engine.observe import observe
from resilience.engine.replay import replay, snapshot_at
from resilience.errors import ResilienceError
from resilience.model import Event, Fleet, Plan, SiteReading, Unknown
from resilience.ports import World

UPKEEP_S = 3600.0
"""Seconds after which standbys and mirrors are seen to again, however seldom snapshots are taken."""
UPKEEP = ("follow", "mirror")


def plan_due(world: World, fleet: Fleet) -> Plan | None:
    """The snapshot and what goes with it, or only what keeps standbys and mirrors up; None where neither is due."""
    survey, events = observe(world, fleet), world.log.read()
    plan = plan_snapshot(fleet, survey)
    if not due(fleet, replay(survey, events), survey.at - snapshot_at(events)):
        if survey.at - _upkept_at(events) < UPKEEP_S:
            return None
        plan = replace(plan, steps=tuple(step for step in plan.steps if step.action in UPKEEP))
    elif not _answers(survey.sites[plan.target]):
        raise ResilienceError(
            f"A snapshot is due, and {plan.target} does not answer.",
            "None is tried: it would keep a failover waiting.",
            "Run `resilience status`; `resilience snapshot` tries it all the same.",
        )
    return plan if plan.steps else None


def _answers(seen: SiteReading) -> bool:
    """Whether the site serves and its ship says how things are; where posts wait for a snapshot past lost WAL, ship alone does."""
    return not isinstance(seen.ship, Unknown) and (seen.serving is True or bool(seen.ship.get("gap")))


def _upkept_at(events: Iterable[Event]) -> float:
    """When that was last begun, whatever came of it."""
    begun = (e.when for e in events if e.kind == "step-started" and e.data.get("action") in UPKEEP)
    return max(begun, default=0.0)
