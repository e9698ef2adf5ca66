"""`resilience check`: whether the fleet file is right and everything in it can be reached."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.context import Context, say_json
from resilience.engine.observe import observe
from resilience.errors import Exit
from resilience.model import Unknown
from resilience.render import survey_json, survey_text


def run(
    ctx: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Only the file; no network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Validate the fleet file, then ask every vendor, vault, site and zone.

    Exit status: 0 all is well, 1 error, 2 the file is wrong, 4 something did not answer.
    """
    context: Context = ctx.obj
    fleet = context.home.load()
    if offline:
        found = {"fleet": fleet.name, "file": context.fleet_file, "valid": True}
        say_json(found) if as_json else typer.echo(f"{context.fleet_file}: valid.")
        return
    with context.world() as (fleet, world):
        survey = observe(world, fleet)
    say_json(survey_json(survey)) if as_json else typer.echo(survey_text(fleet, survey))
    if any(isinstance(reading.epoch, Unknown) for reading in survey.vaults.values()):
        raise typer.Exit(Exit.UNKNOWN)
