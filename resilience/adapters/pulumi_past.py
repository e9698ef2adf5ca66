"""Stacks whose vendor is gone, and stacks that come back: with no call to any vendor, and no credentials."""

from __future__ import annotations

import json
from pathlib import Path

import pulumi.automation as auto

from resilience.adapters.pulumi import PulumiCloud
from resilience.errors import MissingPart, Refused
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
        raise _there(site, state)
    aside.rename(state)
    return True


def restore(cloud: PulumiCloud, site: Site, exported: bytes) -> None:
    """Let the engine take over a state that another machine exported; only where it has none."""
    if cloud.state_file(site).exists():
        raise _there(site, cloud.state_file(site))
    try:
        said = json.loads(exported)
        deployment = auto.Deployment(version=int(said["version"]), deployment=said["deployment"])
    except (ValueError, KeyError, TypeError) as error:
        raise MissingPart(
            f"{site.name}: what the vault holds is no state of a stack",
            f"{type(error).__name__}: {error}",
            "Look at the other vaults' state/ for this site.",
        ) from error
    cloud.operate(site, "restore", lambda: cloud.stack(site).import_stack(deployment))


def _aside(cloud: PulumiCloud, site: Site) -> Path:
    return cloud.backend.state / "forgotten" / f"{site.name}.json"


def _there(site: Site, state: Path) -> Refused:
    return Refused(
        f"{site.name} has a state on this machine already.",
        f"{state} may be newer, and nothing is written over it.",
        "Use it as it is; or move it away first if you are sure.",
    )
