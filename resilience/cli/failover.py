"""`resilience failover`: carry out the plan that was read, and no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from resilience.cli.approval import Accepted, approve_read, goes_on
from resilience.cli.context import Context, declared, say_json, sign_offs
from resilience.decide import plan_failover
from resilience.decide.forecast import forecast
from resilience.engine.broken_chain import accept_end
from resilience.engine.execute import execute, unfinished
from resilience.engine.observe import survey_after_loss
from resilience.engine.opening import stage_of
from resilience.model import Event, Plan, Stage
from resilience.render import Progress
from resilience.render.words import serves


def run(
    ctx: typer.Context,
    digest: Annotated[str | None, typer.Option(help="Digest of the plan that was read.")] = None,
    accept: Accepted = None,
    to: Annotated[str | None, typer.Option(help="The site to fail over to.")] = None,
    lost: Annotated[list[str] | None, typer.Option(help="A vendor that counts as lost.")] = None,
    hold: Annotated[Stage | None, typer.Option(help="Do not open as far as this stage.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Leave without enough vaults to fence the old site; takes `split-brain`.")
    ] = False,
    sign_off: Annotated[list[str] | None, typer.Option(help='"WHO; REFERENCE; DATE", for a legal order.')] = None,
    end: Annotated[str | None, typer.Option("--accept-end", help="Where a broken chain ends.", metavar="LSN")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Do the plan named by --digest. Interrupted, it goes on when run again, bare or just as it was; with other options it plans anew.

    Where a chain is broken in all vaults it stops, and --accept-end with --accept broken-chain goes on up to there.

    Exit status: 0 the app serves again, 1 error, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    with (
        context.world(lost=lost, site=to) as (fleet, world),
        context.alone(urgent=True),
        Progress.for_people(silent=as_json) as progress,
    ):
        plan = unfinished(world, "failover")
        if end is not None:
            accept_end(world, plan, end, frozenset(accept or ()))
        asked = {"lost": sorted(lost or ()), "hold": str(hold or ""), "force": force}
        if plan is None or to not in {None, plan.target} or not goes_on(world, plan, digest, asked):
            survey, dead = survey_after_loss(world, fleet, declared(fleet, lost), to)
            plan = plan_failover(fleet, survey, to=to, declared=dead, hold=hold, force=force)
            expected = forecast(fleet, survey, plan)
            approve_read(context, world, plan, digest, accept, sign_offs(sign_off), expected, asked)
        else:
            progress.say(f"Going on with plan {plan.digest}, which was interrupted.")
        execute(world, fleet, plan, progress.watch)
        at, stays = stage_of(world, fleet, plan.target), name_stays(plan, world.log.read())
    done = {"digest": plan.digest, "site": plan.target, "stage": str(at), **stays}
    where = f"at {stays['address']}. {stays['change']}" if stays else f"{fleet.names.host}."
    say_json(done) if as_json else typer.echo(serves(plan.target, at, where))


def name_stays(plan: Plan, events: Sequence[Event]) -> dict[str, str]:
    """The address, and what a person has to change, where this plan had no DNS vendor left to lead users there."""
    if not any(step.action == "by-address" for step in plan.steps):
        return {}
    said = [event.data for event in events if event.kind == "name-stays"][-1]
    return {"address": str(said["address"]), "change": str(said["change"])}
