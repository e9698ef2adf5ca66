"""A rehearsal's plan: the failover's own steps, up to the first user who gets through, on a site beside the real one."""

from __future__ import annotations

from dataclasses import replace

from resilience.decide.failover import plan_failover
from resilience.decide.opening import pictures
from resilience.errors import UsageError
from resilience.model import Fleet, Plan, Site, Survey
from resilience.model.rights import beneath

SUFFIX = "-rehearsal"
LAST = "verify"
"""After it come the names, the users and the fleet's own snapshots: a rehearsal touches none of them."""
NAMES = ("name-stays", "old-name-served")
"""Hazards of moving a name: none is moved."""


def rehearsal_fleet(fleet: Fleet, to: str | None, name: str, source: str) -> Fleet:
    """The fleet as its rehearsal sees it: its last site is like `to`, and everything it puts lies below rehearsal/`name`.

    `source` is the site that may write now; without `to` the first other site that can be made from nothing is taken.
    """
    site = _like(fleet, to, source)
    vaults = tuple(replace(vault, beneath=beneath(name)) for vault in fleet.vaults)
    names = replace(fleet.names, zones=(), registrar="", authorities=())
    return replace(fleet, sites=(*fleet.sites, site), vaults=vaults, names=names, rehearsal=name)


def rehearsal_site(fleet: Fleet, name: str) -> Site | None:
    """The site that a rehearsal calls so; None where its name is no rehearsal's, or what it is like is not declared."""
    declared = {site.name: site for site in fleet.sites}
    like = declared.get(name.removesuffix(SUFFIX))
    if like is None or name in declared or not name.endswith(SUFFIX):
        return None
    return replace(like, name=name, standby="cold")


def plan_rehearsal(fleet: Fleet, survey: Survey, declared: frozenset[str] = frozenset()) -> Plan:
    """What a failover to the rehearsal's site would do, until a user gets through by address."""
    whole = plan_failover(fleet, survey, to=fleet.sites[-1].name, declared=declared)
    last = next(n for n, step in enumerate(whole.steps) if step.action == LAST)
    hazards = tuple(hazard for hazard in whole.hazards if hazard.name not in NAMES)
    steps = (*whole.steps[: last + 1], pictures(whole.target))
    return replace(whole, kind="rehearsal", steps=steps, hazards=hazards)


def _like(fleet: Fleet, to: str | None, source: str) -> Site:
    vendor = fleet.site(source).vendor
    others = [site for site in fleet.sites if site.vendor != vendor]
    fit = [site for site in others if not site.addresses]
    if to is None and fit:
        chosen = fit[0]
    elif to in {site.name for site in fit}:
        chosen = fleet.site(str(to))
    else:
        raise UsageError(
            f"A rehearsal can't use {to}." if to else "No site can be rehearsed on.",
            _why_not(fleet, to, source),
            f"Sites that can: {', '.join(site.name for site in fit) or 'none; drill in a lab instead'}.",
        )
    name = chosen.name + SUFFIX
    if name in {site.name for site in fleet.sites}:
        raise UsageError(
            f"A rehearsal can't use {chosen.name}: its own site would be called {name}.",
            "A site of that name is declared, and a rehearsal removes the hosts of its own before it begins.",
            f"Rename {name} in the fleet file before anything runs there, or rehearse another site: `--to SITE`.",
        )
    return replace(chosen, name=name, standby="cold")


def _why_not(fleet: Fleet, to: str | None, source: str) -> str:
    if to is None:
        return f"It needs a site that its stack makes from nothing, at another vendor than {source}'s."
    if to not in {site.name for site in fleet.sites}:
        return "It is not declared."
    if fleet.site(to).addresses:
        return "Its hosts are simply there, and a standby on them would be lost; a planned `resilience switchover` there and back shows it."
    return f"It is at the vendor of {source}, which a rehearsal counts as lost."
