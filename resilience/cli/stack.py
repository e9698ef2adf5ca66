"""`resilience stack forget|restore`: states of stacks, when a vendor or a machine is gone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from resilience.cli.context import Context, declared, say_json
from resilience.engine.stack_state import take_over
from resilience.wire import forget_stacks

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
    """Bring a stack's state to this machine from the vaults: the newest that the operator signed; only where none is here, or an older one.

    An older one is put aside first (`state/overtaken/`): another machine made the site anew since.

    It says when that state was put, which vaults did not answer and which objects were not believed: where something newer
    may be held back, look before you run `up` or `down` with it.

    Exit status: 0 done, 1 error, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    with context.world(site=site) as (fleet, world), context.alone():
        kept = take_over(world, fleet.name, fleet.site(site))
    put = datetime.fromtimestamp(kept.at_ms / 1000, UTC).isoformat(timespec="seconds")
    found = {"site": site, "vault": kept.vault, "key": kept.key, "put": put}
    if as_json:
        say_json({**found, "passed_over": list(kept.passed_over), "silent": list(kept.silent)})
        return
    typer.echo(f"{site}'s state of {put} is back, from {kept.vault} ({kept.key}).")
    for doubt in (*kept.passed_over, *(f"{name} did not answer: it may hold a newer one." for name in kept.silent)):
        typer.echo(f"Look at this: {doubt}", err=True)
