"""`resilience status`: what is seen right now."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.context import Context, declared, say_json
from resilience.engine.observe import observe
from resilience.render import survey_json, survey_text


def run(
    ctx: typer.Context,
    lost: Annotated[list[str] | None, typer.Option(help="A vendor not to call.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show vendors, vaults, sites and zones as they answer; what does not is unknown.

    Exit status: 0 shown, 1 error, 2 usage.
    """
    context: Context = ctx.obj
    with context.world() as (fleet, world):
        survey = observe(world, fleet, declared(fleet, lost))
    say_json(survey_json(survey)) if as_json else typer.echo(survey_text(fleet, survey))
