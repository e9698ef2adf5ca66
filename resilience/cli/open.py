"""`resilience open STAGE`: let more through at the site that serves, or less."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.context import Context, declared, refuse_unknown, say_json
from resilience.cli.failover import name_stays
from resilience.decide import with_companions
from resilience.decide.opening import ACCEPTABLE
from resilience.engine.execute import Approval, approve, execute
from resilience.engine.opening import leads, plan_opening, stage_of
from resilience.model import Stage
from resilience.render import Progress


def _can_be(names: list[str] | None) -> list[str] | None:
    """The names as they were typed; UsageError for one that opening a site does not ask for."""
    for name in names or ():
        refuse_unknown(
            "hazard of opening a site", name, sorted(ACCEPTABLE), "Any other is accepted of the plan that has it."
        )
    return names


def run(
    ctx: typer.Context,
    stage: Annotated[Stage, typer.Argument(help="closed, read-only, writes or sign-ups.")],
    accept: Annotated[
        list[str] | None,
        typer.Option(help=f"A loss that is for good: {', '.join(sorted(ACCEPTABLE))}.", callback=_can_be),
    ] = None,
    lost: Annotated[list[str] | None, typer.Option(help="A vendor not to call.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Open the site that may write up to STAGE, each stage once its condition holds; or close it down to STAGE.

    Where the name does not lead there yet, as after a failover that was held, it moves once the site is open.

    What was accepted of the plan that brought the site here holds as long as it serves under that epoch, on the machine
    that did it. On another one, or where the loss was found later, it is accepted with --accept, by its name, once: from
    then on it holds for all that is typed there. With the stage that the site is at, nothing is opened further.

    Exit status: 0 it is at STAGE, 1 error, 2 usage, 5 a condition does not hold.
    """
    context: Context = ctx.obj
    with context.world() as (fleet, world), context.alone(urgent=True), Progress.for_people(silent=as_json) as progress:
        dead = with_companions(fleet, declared(fleet, lost))
        accepted = frozenset(accept or ())
        plan = plan_opening(world, fleet, stage, dead, accepted)
        approve(world, plan, Approval(plan.digest, accepted, by="operator"))
        execute(world, fleet, plan, progress.watch)
        at = stage_of(world, fleet, plan.target)
        stays = name_stays(plan, world.log.read())
    led = f" {stays['change']}" if stays else f" {fleet.names.host} leads there." if leads(plan) else ""
    done = {"site": plan.target, "stage": str(at), **stays}
    say_json(done) if as_json else typer.echo(f"{plan.target} is at {at}.{led}")
    if at != stage:
        raise typer.Exit(5)
