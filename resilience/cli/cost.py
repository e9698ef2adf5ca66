"""`resilience cost`: what the fleet costs a month idle, and an evacuation once."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from resilience.cli.context import Context, say_json
from resilience.config.prices import load_prices
from resilience.decide.cost import cost
from resilience.errors import UsageError
from resilience.model.cost import Usage
from resilience.render.cost import cost_json, cost_text


def run(
    ctx: typer.Context,
    stored_gb: Annotated[float, typer.Option(min=0.0, help="What each vault holds, in GB.")] = 50.0,
    busy: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the time with something to ship.")] = 0.1,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Add up what is priced, each price with its source and day, and say what is left out.

    Exit status: 0 shown, 2 usage, or the file is wrong.
    """
    for option, value in (("--stored-gb", stored_gb), ("--busy", busy)):
        if not math.isfinite(value):
            raise UsageError(
                f"{option} {value:g} is no amount.", "Prices are multiplied by it.", "Give a finite number."
            )
    context: Context = ctx.obj
    found = cost(context.home.load(), load_prices(), Usage(stored_gb, busy))
    say_json(cost_json(found)) if as_json else typer.echo(cost_text(found))
