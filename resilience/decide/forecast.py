"""What a plan would take and lose, as far as earlier runs and the source's own ship tell. Pure.

A forecast is no part of a plan: it changes by the second, and a plan's digest must not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

from resilience.decide.gates import LOSE_PICTURES
from resilience.model import Fleet, PastRun, Phase, Plan, Point, Survey


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds by phase until users are back, and the loss; None where nothing tells."""

    takes: Mapping[str, float] = field(default_factory=dict)
    total_s: float | None = None
    lost_s: float | None = None
    lost_writes: int | None = None
    lost_objects: int | None = None
    basis: str = "No earlier run tells how long it takes or what it loses."

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def forecast(fleet: Fleet, survey: Survey, plan: Plan, point: Point | None = None) -> Forecast:
    """From runs to the same target, else from runs to any; the worst loss, the median time.

    A restore to a point loses what was written since, by now.
    """
    like = [run for run in survey.past.runs if run.kind == plan.kind]
    here = [run for run in like if run.target == plan.target]
    runs = here or like
    takes = _takes(runs)
    live_s = _lag(survey, plan.source)
    hazards = {hazard.name for hazard in plan.hazards}
    lossless = "loses-writes" not in hazards
    found = Forecast(
        takes=takes,
        total_s=round(sum(takes[p] for p in takes if p != Phase.PROTECT) + fleet.names.ttl_s, 1) if takes else None,
        lost_s=0.0 if lossless else live_s if live_s is not None else _worst([run.lost_s for run in runs]),
        lost_writes=0 if lossless else _worst([run.lost_writes for run in runs]),
        lost_objects=0 if hazards.isdisjoint(LOSE_PICTURES) else _worst([run.lost_objects for run in runs]),
        basis=_basis(plan, here, like, live_s),
    )
    return found if point is None else _cut_off(found, survey, point)


def _cut_off(found: Forecast, survey: Survey, point: Point) -> Forecast:
    basis = f"{found.basis} Cut off would be what was written up to {point.end_lsn} of epoch {point.end_epoch}."
    return replace(found, lost_s=round(survey.at - point.at, 1), lost_writes=None, lost_objects=None, basis=basis)


def _takes(runs: Sequence[PastRun]) -> dict[str, float]:
    """The median of each phase; the name's phase is what it takes without waiting for a TTL."""
    phases = [str(phase) for phase in Phase]
    return {p: round(median(found), 1) for p in phases if (found := [r.took[p] for r in runs if p in r.took])}


def _worst(found: Sequence[float | None]) -> Any:
    return max((value for value in found if value is not None), default=None)


def _lag(survey: Survey, source: str) -> float | None:
    """How far the vaults are behind, where the old site still says so."""
    seen = survey.sites.get(source)
    return None if seen is None else seen.behind_s


def _basis(plan: Plan, here: Sequence[PastRun], like: Sequence[PastRun], live_s: float | None) -> str:
    if here:
        said = f"From {len(here)} earlier {'run' if len(here) == 1 else 'runs'} to {plan.target}."
    elif like:
        said = f"Nobody ever went to {plan.target}; from {len(like)} runs to other sites."
    else:
        said = Forecast().basis
    return f"{said} The vaults are {live_s:.1f} s behind now." if live_s is not None else said
