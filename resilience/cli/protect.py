"""`resilience protect`: a vendor is gone at which the app does not run; it stays where it is, protected without that one."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.approval import Accepted, approve_read, goes_on
from resilience.cli.context import Context, declared, say_json
from resilience.cli.failover import name_stays
from resilience.decide import plan_protect, with_companions
from resilience.engine.execute import execute, unfinished
from resilience.engine.observe import observe
from resilience.engine.opening import stage_of
from resilience.model import Stage
from resilience.render import Progress
from resilience.render.words import how_far


def run(
    ctx: typer.Context,
    digest: Annotated[str | None, typer.Option(help="Digest of the plan that was read.")] = None,
    accept: Accepted = None,
    lost: Annotated[list[str] | None, typer.Option(help="A vendor that counts as lost.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Stay with too few vaults left to seal; takes `split-brain`.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """The app goes on where it is, and no lost vendor is counted on: names, vault set, copies, next standby.

    Without --digest it prints the plan and changes nothing. Interrupted, it goes on when run again, bare or just as it
    was; with other options it plans anew.
    Where the app's own vendor is gone it is a failover: `resilience plan`.

    Exit status: 0 protected again, 1 error, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    with (
        context.world(lost=lost) as (fleet, world),
        context.alone(urgent=True),
        Progress.for_people(silent=as_json) as progress,
    ):
        plan = unfinished(world, "protect")
        asked = {"lost": sorted(lost or ()), "force": force}
        if plan is None or not goes_on(world, plan, digest, asked):
            dead = with_companions(fleet, declared(fleet, lost))
            plan = plan_protect(fleet, observe(world, fleet, dead), declared=dead, force=force)
            approve_read(context, world, plan, digest, accept, asked=asked)
        else:
            progress.say(f"Going on with plan {plan.digest}, which was interrupted.")
        execute(world, fleet, plan, progress.watch)
        at, stays = stage_of(world, fleet, plan.target), name_stays(plan, world.log.read())
    done = {"digest": plan.digest, "site": plan.target, "lost": list(plan.lost), "stage": str(at), **stays}
    on = "serves nobody yet" if at == Stage.CLOSED else "serves on"
    where = f" at {stays['address']}. {stays['change']}" if stays else "."
    say_json(done) if as_json else typer.echo(
        f"{plan.target} could be left again, and {on}{where} {how_far(at)}".rstrip()
    )
