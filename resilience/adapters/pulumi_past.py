"""Stacks whose vendor is gone: forgotten and recalled with no call to any vendor, and no credentials."""

from __future__ import annotations

from pathlib import Path

from resilience.adapters.pulumi import PulumiCloud, already_there
from resilience.errors import Refused
from resilience.model import Site


def forget(cloud: PulumiCloud, site: Site) -> bool:
    """Put the stack's state aside, so that nothing of it is asked for again; False where there is none."""
    cloud.clear_stale_lock(site)
    state, aside = cloud.state_file(site), _aside(cloud, site)
    if not state.exists():
        return False
    if aside.exists():
        raise Refused(
            f"{site.name} was forgotten before, and made anew since.",
            f"{aside} holds what was forgotten then, and would be lost.",
            "Move that file to where you keep such things, then run the same command again.",
        )
    aside.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    state.rename(aside)
    return True


def recall(cloud: PulumiCloud, site: Site) -> bool:
    """Undo `forget`; False where nothing was forgotten."""
    cloud.clear_stale_lock(site)
    state, aside = cloud.state_file(site), _aside(cloud, site)
    if not aside.exists():
        return False
    if state.exists():
        raise already_there(site, state)
    aside.rename(state)
    return True


def _aside(cloud: PulumiCloud, site: Site) -> Path:
    return cloud.backend.state / "forgotten" / f"{site.name}.json"
