"""`resilience check`: whether the fleet file is right, and whether a failover could lean on what is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from resilience.cli.context import Context, say_json
from resilience.config.prices import load_prices
from resilience.decide.preflight import declared, kit_findings, observed
from resilience.decide.quorum import newest_epoch
from resilience.engine.observe import observe
from resilience.engine.preflight import look, remembered
from resilience.engine.probe import note
from resilience.engine.replay import replay
from resilience.errors import Exit, MissingPart
from resilience.model import Fleet, Unknown
from resilience.model.finding import Finding
from resilience.render.findings import findings_json, findings_text
from resilience.wire import budgets, kit_lacks, preflight_doors


def run(
    ctx: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Only the file; no network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Validate the fleet file, then try every key, vendor, vault, zone and clock. Each line: pass, warn, fail or unknown.

    Exit status: 0 nothing failed, 1 something did, 2 the file is wrong, 4 something is not known.
    """
    context: Context = ctx.obj
    fleet = context.home.load()
    findings = declared(fleet) if offline else _tried(context, fleet)
    _say(context, fleet, findings, as_json=as_json)
    grades = {finding.grade for finding in findings}
    if "fail" in grades:
        raise typer.Exit(Exit.ERROR)
    if "unknown" in grades:
        raise typer.Exit(Exit.UNKNOWN)


def _tried(context: Context, fleet: Fleet) -> tuple[Finding, ...]:
    """What is seen from here, beside the file; where the kit can't even open every door, all that it lacks."""
    try:
        return _seen(context)
    except MissingPart:
        if lacking := kit_lacks(context.home, fleet):
            return (*declared(fleet), *kit_findings(lacking))
        raise


def _seen(context: Context) -> tuple[Finding, ...]:
    budget = budgets("check")
    with context.world(budget=budget) as (fleet, world):
        looked = look(preflight_doors(context.home, fleet, budget), fleet, world)
        seen = remembered(world.log, world.clock.now(), looked)
        for probe in seen.probes.values():
            if not isinstance(probe, Unknown):
                note(world.log, world.clock.now(), probe)
        survey = observe(world, fleet)
        seen = replace(seen, replay=replay(survey, world.log.read()))
        epoch = newest_epoch(survey)
        serving = next((site for site in fleet.sites if epoch and site.name == epoch.site), None)
        file = declared(fleet, serving)
        return (*file, *observed(fleet, survey, seen, load_prices()))


def _say(context: Context, fleet: Fleet, findings: tuple[Finding, ...], *, as_json: bool) -> None:
    if as_json:
        head = {"fleet": fleet.name, "file": context.fleet_file, "valid": True}
        say_json({**head, "findings": findings_json(findings)})
    else:
        typer.echo(f"{context.fleet_file}: valid.")
        typer.echo(findings_text(findings))
