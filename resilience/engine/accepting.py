"""Accepting a hazard of an epoch that is sealed already: what a person types, where no plan can be read anew."""

from __future__ import annotations

from resilience.engine.observe import read
from resilience.engine.run import Run
from resilience.model import Stage, Unknown

PLANNED_ANEW = frozenset({"failover", "restore", "rehearsal"})
"""Plans that are read with their hazards, and seal an epoch of their own."""


def way_past(run: Run, hazard: str, site: str) -> str:
    """How to go on where what was lost is lost for good."""
    if run.plan.kind == "failover":
        there = f"--to {site} where it does not serve yet"
        return f"plan anew with --lost for each vendor, and {there}, and accept `{hazard}` by name"
    if run.plan.kind in PLANNED_ANEW:
        return f"plan anew with --lost for each vendor, and accept `{hazard}` by name"
    lost = "".join(f" --lost {vendor}" for vendor in run.plan.lost)
    command = f"`resilience open {_stage(run, site)} --accept {hazard}{lost}`"
    return command if run.plan.kind == "open" else f"{command}, then the same command again"


def _stage(run: Run, site: str) -> str:
    """As far as this very `open` was to go; for any other plan as far as the site is open now."""
    further = [str(step.args["stage"]) for step in run.plan.steps if step.action == "open"]
    if run.plan.kind == "open" and further:
        return further[-1]
    at = read(lambda: run.world.gate.stage(run.outputs(site)))
    return str(Stage.CLOSED if isinstance(at, Unknown) else at)
