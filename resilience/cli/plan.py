"""`resilience plan`: what a failover would do, and what it would risk. Changes nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.context import Context, declared, say_json
from resilience.decide import plan_failover
from resilience.decide.forecast import forecast
from resilience.engine.observe import survey_after_loss
from resilience.model import Stage
from resilience.render import plan_text


def run(
    ctx: typer.Context,
    to: Annotated[str | None, typer.Option(help="The site to fail over to.")] = None,
    lost: Annotated[list[str] | None, typer.Option(help="A vendor that counts as lost.")] = None,
    hold: Annotated[Stage | None, typer.Option(help="Do not open as far as this stage.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also without enough vaults to fence the old site.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Print the failover plan, its digest and its hazards. The primary's vendor is not called.

    Exit status: 0 there is a plan, 1 error, 2 usage.
    """
    context: Context = ctx.obj
    with context.world(lost=lost, site=to) as (fleet, world):
        survey, dead = survey_after_loss(world, fleet, declared(fleet, lost), to)
        found = plan_failover(fleet, survey, to=to, declared=dead, hold=hold, force=force)
    context.keep(found)
    expected = forecast(fleet, survey, found)
    if as_json:
        say_json({**found.to_json(), "forecast": expected.to_json()})
    else:
        typer.echo(plan_text(found, expected=expected))
