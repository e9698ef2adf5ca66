"""Provision: hosts from the stack, and what they are set up from."""

from __future__ import annotations

from resilience.engine.run import Facts, Run
from resilience.model import Step


def supplies(run: Run, step: Step) -> Facts:
    """Put what hosts are set up from into every vault."""
    return run.world.supplies.put()


def provision(run: Run, step: Step) -> Facts:
    """Make the site's hosts."""
    site = run.fleet.site(step.subject)
    return run.world.clouds[site.name].up(site).to_json()


def shape(run: Run, step: Step) -> Facts:
    """Bring the host into shape from supplies."""
    site = run.fleet.site(step.subject)
    return run.world.plane.shape(site, run.outputs(site.name), run.epoch(site.name))
