"""`resilience snapshot`: a snapshot into each vault, read back."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.context import Context, say_json
from resilience.decide import plan_snapshot
from resilience.decide.replaying import due as needed
from resilience.engine.execute import Approval, approve, execute
from resilience.engine.observe import observe
from resilience.engine.replay import replay, snapshot_at
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
    the last `resilience verify` did it.

    A hot standby that follows takes it; one whose host was started again is given its keys, and follows again. Then each
    mirror gets what it lacks of one vault, through this machine.

    Exit status: 0 done, 1 error, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    with context.world() as (fleet, world), context.alone(), Progress.for_people(silent=as_json) as progress:
        survey, events = observe(world, fleet), world.log.read()
        why = needed(fleet, replay(survey, events), survey.at - snapshot_at(events))
        if due and not why:
            say_json({"site": None}) if as_json else typer.echo("No snapshot is due.")
            return
        plan = plan_snapshot(fleet, survey)
        approve(world, plan, Approval(plan.digest, frozenset(), by="snapshot"))
        execute(world, fleet, plan, progress.watch)
    say_json({"site": plan.target}) if as_json else typer.echo(
        f"Every vault that answered has a snapshot of {plan.target}."
    )
