"""`resilience snapshot`: a snapshot into each vault, read back."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.context import Context, say_json
from resilience.decide import plan_snapshot
from resilience.engine.copied import lacking
from resilience.engine.due import plan_due
from resilience.engine.execute import Approval, approve, execute
from resilience.engine.observe import observe
from resilience.errors import Exit
from resilience.render import Progress


def run(
    ctx: typer.Context,
    due: Annotated[
        bool,
        typer.Option("--due", help="Only where the last one is snapshot_minutes old, or WAL since takes too long."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Take a snapshot of the primary into each vault and read it back; docs/timers says how to have it done regularly.

    With --due it takes none while the last one is younger than snapshot_minutes, and WAL since is replayed within the promise, as fast as
    the last `resilience verify` did it; standbys and mirrors are seen to once an hour. It looks before it locks the fleet, and tries
    nothing while the primary does not answer, so that it keeps no failover waiting.

    A hot standby that follows takes it; one whose host was started again is given its keys, and follows again. Then each
    mirror gets what it lacks of one vault, through this machine.

    Exit status: 0 done, 1 error, or a vault has no whole copy of it, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    with context.world() as (fleet, world), Progress.for_people(silent=as_json) as progress:
        if due and plan_due(world, fleet) is None:
            say_json({"site": None}) if as_json else typer.echo("No snapshot is due.")
            return
        with context.alone(gives_way=True):
            plan = plan_due(world, fleet) if due else plan_snapshot(fleet, observe(world, fleet))
            if plan is not None:
                approve(world, plan, Approval(plan.digest, frozenset(), by="snapshot"))
                execute(world, fleet, plan, progress.watch)
        without = lacking(world.log.read())
    taken = plan is not None and any(step.action == "protect" for step in plan.steps)
    if plan is None or not taken:
        say_json({"site": None}) if as_json else typer.echo("No snapshot is due; standbys and mirrors were seen to.")
        return
    if as_json:
        say_json({"site": plan.target, "lacking": without})
    elif not without:
        typer.echo(f"Every vault of the epoch has a snapshot of {plan.target}, and gave it back.")
    for vault, why in without.items():
        typer.echo(f"{vault} has no whole snapshot of {plan.target}: {why.rstrip('.')}.", err=True)
    if without:
        raise typer.Exit(Exit.ERROR)
