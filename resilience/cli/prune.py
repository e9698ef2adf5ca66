"""`resilience prune`: give room in the vaults, never more than a proven snapshot allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from resilience.cli.context import Context, say_json
from resilience.engine.prune import prune
from resilience.errors import Exit


def run(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it nothing is touched.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say what each vault could lose: all before the oldest snapshot verified since the newest that was `keep_days` ago. With --yes, remove it.

    Exit status: 0 done, 1 a vault could not be pruned, 2 usage.
    """
    context: Context = ctx.obj
    with context.world() as (fleet, world), context.alone(gives_way=True):
        found = prune(world, fleet, really=yes)
    if as_json:
        say_json(found)
    else:
        for name, facts in found.items():
            typer.echo(f"{name}: {_told(facts)}")
        if not found:
            typer.echo("Nothing may go: no snapshot was verified so long ago. See `resilience verify`, and keep_days.")
        elif not yes:
            typer.echo("Nothing was removed. To remove it: resilience prune --yes")
    if any("error" in facts for facts in found.values()):
        raise typer.Exit(Exit.ERROR)


def _told(facts: Mapping[str, Any]) -> str:
    if "error" in facts:
        return f"{facts['error']}\nWhy: {facts['why']}\nNext: {facts['next']}"
    held = (
        f" {facts['held_back']} objects are held back, the next run tries again: {facts['why']}"
        if facts.get("why")
        else ""
    )
    without = f", {facts['unlabelled']} copies that no label names," if facts.get("unlabelled") else ""
    differ = (
        f" Several labels name one proven snapshot, and the oldest is gone by, so less goes than could: {', '.join(facts['differ'])}. "
        "Somebody who has a site's key signed all but one."
        if facts.get("differ")
        else ""
    )
    return f"{facts['snapshots']} snapshots{without} and {facts['chunks']} WAL chunks {'removed' if facts['removed'] else 'could go'}.{held}{differ}"
