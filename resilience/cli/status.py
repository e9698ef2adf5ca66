"""`resilience status`: what is seen right now."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from resilience.adapters.history_file import HistoryFile
from resilience.cli.context import Context, declared, say_json
from resilience.cli.outcome import HISTORY
from resilience.engine.observe import observe
from resilience.errors import Exit
from resilience.judge.history import too_old
from resilience.model import Fleet
from resilience.render import survey_json, survey_text


def run(
    ctx: typer.Context,
    lost: Annotated[list[str] | None, typer.Option(help="A vendor not to call.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show vendors, vaults, sites and zones as they answer; what does not is unknown.

    Exit status: 0 shown, 1 error, 2 usage, 3 critical: no drill passed within the declared days.
    """
    context: Context = ctx.obj
    with context.world() as (fleet, world):
        survey = observe(world, fleet, declared(fleet, lost))
    critical = unrehearsed(context, fleet)
    if as_json:
        say_json({**survey_json(survey), "critical": [critical] if critical else []})
    else:
        typer.echo(survey_text(fleet, survey))
        typer.echo(f"CRITICAL: {critical}" if critical else "", nl=bool(critical))
    if critical:
        raise typer.Exit(Exit.MISSED)


def unrehearsed(context: Context, fleet: Fleet) -> str:
    """Why this fleet's last passing drill is too old; empty where it is not, and for a lab."""
    history = HistoryFile(context.home.directory / "reports" / HISTORY)
    return "" if fleet.lab else too_old(history.read(), time.time(), fleet.promise.drill_every_days)
