"""`resilience vault up|probe|revert`: make a vault; try what its store really does; undo what a thief wrote over."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from resilience.cli.context import Context, say_json
from resilience.engine.probe import note, probe_mirror
from resilience.engine.probe import probe as try_out
from resilience.engine.revert import revert as undo
from resilience.errors import Exit
from resilience.wire import make_vault, vault_principals

app = typer.Typer(
    help="Vaults: make one, probe one, put back what was written over.", no_args_is_help=True, rich_markup_mode=None
)
Name = Annotated[str, typer.Argument(help="A vault of the fleet.")]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]


@app.command()
def up(ctx: typer.Context, name: Name, as_json: Json = False) -> None:
    """Make the vault's bucket and principals from its stack, and put their credentials into the kit.

    Exit status: 0 done, 1 error, 2 usage.
    """
    context: Context = ctx.obj
    with context.alone():
        made = make_vault(context.home, context.home.load(), name)
    said = f"The credentials of {', '.join(made)} are in the kit." if made else "Its principals are made by hand."
    say_json({"vault": name, "principals": list(made)}) if as_json else typer.echo(f"{name} is made. {said}")


@app.command()
def revert(
    ctx: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it nothing is touched.")] = False,
    as_json: Json = False,
) -> None:
    """Find what somebody wrote over in a vault that keeps versions. With --yes, what was put first is there again.

    Exit status: 0 done, 1 error, 2 usage.
    """
    context: Context = ctx.obj
    with context.world(vaults=[name]) as (_, world), context.alone():
        found = undo(world.vaults[name], really=yes)
    if as_json:
        say_json(found)
    elif not found["keeps_versions"]:
        typer.echo(f"{name} keeps no versions to go back to. Whether it refuses to write over: resilience check")
    elif not found["keys"]:
        typer.echo(f"Nothing in {name} was written over.")
    else:
        more = "…" if found["written_over"] > len(found["keys"]) else ""
        typer.echo(f"{found['written_over']} objects in {name} were written over: {', '.join(found['keys'])}{more}")
        again = f"Nothing was changed. To go back: resilience vault revert {name} --yes"
        typer.echo("What was put first is there again." if yes else again)


@app.command()
def probe(ctx: typer.Context, name: Name, as_json: Json = False) -> None:
    """Try a double create, a read after write, and what each principal must be refused; a dozen small requests.

    Exit status: 0 all as it should be, 1 a trial failed, 2 usage, 4 something could not be tried.
    """
    context: Context = ctx.obj
    fleet = context.home.load()
    principals = vault_principals(context.home, fleet, name)
    seen = (probe_mirror if fleet.vault(name).copies_only else try_out)(name, principals)
    note(context.home.journal, time.time(), seen)
    if as_json:
        trials = [{"name": t.name, "outcome": t.outcome, "said": t.said, "next": t.next} for t in seen.trials]
        say_json({"vault": name, "counts": seen.counts, "trials": trials})
    else:
        for trial in seen.trials:
            typer.echo(f"{trial.outcome:8}{trial.name:24}{trial.said}")
            if trial.next:
                typer.echo(f"{'':32}{trial.next}")
        typer.echo(f"{name} {'may count in n' if seen.counts else 'may hold copies, and never counts in n'}.")
    outcomes = {trial.outcome for trial in seen.trials}
    if not seen.well:
        raise typer.Exit(Exit.ERROR if "fail" in outcomes else Exit.UNKNOWN)
