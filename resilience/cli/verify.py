"""`resilience verify`: prove that each vault, by itself, gives the database back."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.context import Context, say_json
from resilience.engine.verify import verify
from resilience.errors import Exit
from resilience.render import Progress
from resilience.wire import known_vault


def run(
    ctx: typer.Context,
    vault: Annotated[list[str] | None, typer.Option(help="Only this vault; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Restore from each vault alone on this machine, start it, check every page and index, count and compare.

    Exit status: 0 every vault is whole, 1 one is not, 2 usage.
    """
    context: Context = ctx.obj
    for name in vault or ():
        known_vault(context.home.load(), name)
    with context.world() as (fleet, world), Progress.for_people(silent=as_json) as progress:
        found = verify(world, fleet, tuple(vault or ()), lambda name: progress.say(f"{name}: restoring"))
    if as_json:
        say_json(found)
    else:
        for name, facts in found.items():
            if facts["ok"]:
                pictures = "" if facts["pictures"] is None else f", {facts['pictures']} pictures"
                ship = facts["acknowledged"]
                against = (
                    f"all it acknowledged, up to {ship}" if ship else "not compared with ship, which is not reached"
                )
                typer.echo(
                    f"{name}: whole. {facts['rows']} rows{pictures}; restored in {facts['restore_s']} s; {against}."
                )
            else:
                typer.echo(f"{name}: NOT whole. {facts['what']}\nWhy: {facts['why']}\nNext: {facts['next']}")
    if not all(facts["ok"] for facts in found.values()):
        raise typer.Exit(Exit.ERROR)
