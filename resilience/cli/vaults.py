"""`resilience vaults`: let the serving site ship into the vaults that are declared now."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.approval import Accepted, approve_read, goes_on
from resilience.cli.context import Context, declared, say_json
from resilience.decide import plan_vaults
from resilience.decide.vaults import is_half_way
from resilience.engine.execute import execute, unfinished
from resilience.engine.observe import observe, unfilled
from resilience.render import Progress


def run(
    ctx: typer.Context,
    digest: Annotated[str | None, typer.Option(help="Digest of the plan that was read.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="A declared vault to leave out.")] = None,
    accept: Accepted = None,
    lost: Annotated[list[str] | None, typer.Option(help="A vendor that counts as lost.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Change the vault set to the vaults in the fleet file, without a stop. Interrupted, it goes on when run again.

    A vault that came into the set and was not yet given what was there before is filled, whoever left that out.

    Add a vault to the fleet file and its credentials to the kit, then run this. To leave one out, name it with --without,
    and take it out of the file when this is done; one at a lost vendor is left out with --lost. From one vault to three it
    is run twice: until the second plan commits wait for as few as before.

    Exit status: 0 the set is as declared, 1 error, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    with (
        context.world(lost=lost, vaults=without or ()) as (fleet, world),
        context.alone(),
        Progress.for_people(silent=as_json) as progress,
    ):
        plan = unfinished(world, "vaults")
        asked = {"without": sorted(without or ()), "lost": sorted(lost or ())}
        if plan is None or not goes_on(world, plan, digest, asked):
            dead = declared(fleet, lost)
            survey = observe(world, fleet, dead)
            left, late = frozenset(without or ()), unfilled(world, fleet, dead)
            plan = plan_vaults(fleet, survey, without=left, declared=dead, unfilled=late)
            if plan.steps:
                approve_read(context, world, plan, digest, accept, asked=asked)
        else:
            progress.say(f"Going on with plan {plan.digest}, which was interrupted.")
        if plan.steps:
            execute(world, fleet, plan, progress.watch)
    again = is_half_way(fleet, plan)
    done = {"digest": plan.digest, "site": plan.target, "changed": bool(plan.steps), "again": again}
    said = f"{plan.target} ships into the vaults that are declared."
    more = " They were too few before: run this once more, and it waits for as many of them as declared."
    say_json(done) if as_json else typer.echo(f"{said}{more if again else ''}")
