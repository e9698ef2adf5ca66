"""Try a stack for real: make the site, look at it, make it again, and destroy it whatever happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields

from resilience.errors import ResilienceError
from resilience.model import Site, SiteOutputs
from resilience.ports import Cloud

Look = Callable[[SiteOutputs], Sequence[str]]
"""Looks at a site from outside and within; what is not as the contract says."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What a trial found; nothing at all means that the stack ran for real."""

    complaints: tuple[str, ...]
    destroyed: bool


def trial(
    cloud: Cloud, site: Site, look: Look, say: Callable[[str], None], capped: AbstractContextManager[object]
) -> Tried:
    """One trial. It ends in `down` even when it is interrupted; only a refused `down` leaves something behind.

    `capped` ends what is made and looked at by an error once its time is over, and never `down`.
    """
    complaints: list[str] = []
    try:
        with capped:
            say(f"up: {site.name} at {site.vendor}")
            made = cloud.up(site)
            complaints += contract(site, made)
            say(f"look: {', '.join(made.addresses)}")
            complaints += look(made)
            say("up again: nothing may change")
            if cloud.up(site) != made:
                complaints.append("a second up changed the site")
    except ResilienceError as error:
        complaints.append(f"{error.what}: {error.why}")
    finally:
        say("down")
        destroyed = _destroyed(cloud, site, complaints)
    return Tried(tuple(complaints), destroyed)


def contract(site: Site, made: SiteOutputs) -> list[str]:
    """What in the outputs is not as every stack must export it."""
    wrong = [field.name for field in fields(SiteOutputs) if getattr(made, field.name) in ("", (), None)]
    if (made.site, made.vendor) != (site.name, site.vendor):
        wrong.append("site or vendor")
    if len(made.addresses) != len(made.host_keys):
        wrong.append("one host key for each address")
    return [f"outputs: {name} is not as the contract says" for name in wrong]


def _destroyed(cloud: Cloud, site: Site, complaints: list[str]) -> bool:
    try:
        cloud.down(site)
        left = cloud.outputs(site) is not None
    except ResilienceError as error:
        complaints.append(f"{error.what}: {error.why}")
        return False
    if left:
        complaints.append("down left outputs behind")
    return not left
