"""`resilience stack forget|restore`: states of stacks, when a vendor or a machine is gone."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.context import Context, declared, say_json
from resilience.errors import UsageError
from resilience.wire import forget_stacks, restore_stack

app = typer.Typer(
    help="States of stacks: forget a dead vendor's, bring one back.", no_args_is_help=True, rich_markup_mode=None
)
Json = Annotated[bool, typer.Option("--json", help="For machines.")]


@app.command()
def forget(
    ctx: typer.Context,
    vendor: Annotated[str, typer.Argument(help="A vendor of the fleet.")],
    undo: Annotated[bool, typer.Option("--undo", help="Take back what was forgotten.")] = False,
    as_json: Json = False,
) -> None:
    """Retire what was made at VENDOR from this machine's state: with no call to it, and no credentials.

    Whatever still runs there goes on running, and costing. `--undo` takes it back.

    Exit status: 0 done, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    fleet = context.home.load()
    declared(fleet, [vendor])
    with context.alone():
        names = forget_stacks(context.home, fleet, vendor, undo=undo)
    word = "recalled" if undo else "forgotten"
    say_json({"vendor": vendor, word: names}) if as_json else typer.echo(
        f"{word.capitalize()}: {', '.join(names) or 'nothing'}."
    )


@app.command()
def restore(
    ctx: typer.Context,
    site: Annotated[str, typer.Argument(help="A site of the fleet.")],
    as_json: Json = False,
) -> None:
    """Bring a stack's state to this machine from the vaults, the newest there is; only where there is none here.

    Exit status: 0 done, 1 error, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    fleet = context.home.load()
    if site not in {one.name for one in fleet.sites}:
        raise UsageError(f"No site is called {site}.", "The fleet file does not name it.", "See `resilience status`.")
    with context.world() as (_, world), context.alone():
        vault, key = restore_stack(context.home, fleet, site, world.vaults)
    found = {"site": site, "vault": vault, "key": key}
    say_json(found) if as_json else typer.echo(f"{site}'s state is back, from {vault} ({key}).")
