"""`resilience verify`: prove that each vault, by itself, gives the database back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from resilience.cli.context import Context, say_json
from resilience.engine.verify import verify
from resilience.errors import Exit
from resilience.render import Progress
from resilience.wire import known_vault


def run(
    ctx: typer.Context,
    vault: Annotated[list[str] | None, typer.Option(help="Only this vault; may be repeated.")] = None,
    without_primary: Annotated[
        bool,
        typer.Option(
            "--without-primary", help="Do not count at the primary: it reads all of its tables once for the comparison."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Restore from each vault alone on this machine, start it, check every page and index, compare its rows with the primary's.

    A snapshot that could not be brought is passed over and named; where it is one of the newest epoch, the vault is not whole.

    Exit status: 0 every vault is whole, 1 one is not, 2 usage.
    """
    context: Context = ctx.obj
    for name in vault or ():
        known_vault(context.home.load(), name)
    with context.world() as (fleet, world), Progress.for_people(silent=as_json) as progress:
        found = verify(world, fleet, tuple(vault or ()), progress.say, primary=not without_primary)
    if as_json:
        say_json(found)
    else:
        for name, facts in found.items():
            typer.echo(f"{name}: {told(facts)}")
    if not all(facts["ok"] for facts in found.values()):
        raise typer.Exit(Exit.ERROR)


def told(facts: Mapping[str, Any]) -> str:
    """What was found in one vault, as a person reads it."""
    if not facts["ok"]:
        return f"NOT whole. {facts['what']}\nWhy: {facts['why']}\nNext: {facts['next']}"
    pictures = "" if facts["pictures"] is None else f", {facts['pictures']} pictures"
    ship = facts["acknowledged"]
    against = f"all it acknowledged, up to {ship}" if ship else "not compared with ship, which is not reached"
    return f"whole. {facts['rows']} rows{pictures}; restored in {facts['restore_s']} s; {against}; {_beside_primary(facts)}{_passed_over(facts)}."


def _passed_over(facts: Mapping[str, Any]) -> str:
    left = [
        f"{one['snapshot'][:8]} of epoch {one['epoch']} ({one['why'].rstrip('.')})"
        for one in facts.get("passed_over", ())
    ]
    return f"; passed over, since they could not be brought: {', '.join(left)}" if left else ""


def _beside_primary(facts: Mapping[str, Any]) -> str:
    if not facts["compared"]:
        return f"its rows were not compared with the primary's: {facts['not_compared']}"
    left = ", ".join(f"{table} ({why})" for table, why in facts["left_out"].items())
    tables = (
        f"in {facts['compared_tables']} tables; not counted: {left}"
        if left
        else f"in all {facts['compared_tables']} tables"
    )
    return f"its rows are the primary's, {tables}"
