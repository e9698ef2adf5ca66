"""`resilience up SITE`: make a site; on the first day, let it serve."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.context import Context, declared, say_json
from resilience.decide import may_be_primary, plan_up
from resilience.engine.execute import Approval, approve, execute, unfinished
from resilience.engine.observe import observe
from resilience.render import Progress
from resilience.render.words import how_far


def run(
    ctx: typer.Context,
    site: Annotated[str, typer.Argument(help="A site of the fleet.")],
    lost: Annotated[
        list[str] | None, typer.Option(help="A vendor not to call; its vaults and name servers keep what they have.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Make SITE from its stack, and bring its host into shape. Interrupted, it goes on when run again.

    A site that serves goes on serving, as far open as it is: `resilience open` opens it further.

    Exit status: 0 done, 1 error, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    with (
        context.world(site=site, lost=lost) as (fleet, world),
        context.alone(),
        Progress.for_people(silent=as_json) as progress,
    ):
        gone = declared(fleet, lost)
        survey, plan = observe(world, fleet, gone), unfinished(world, "up")
        if plan is None or plan.target != site or gone or plan.lost or not may_be_primary(survey, site):
            plan = plan_up(fleet, survey, site, gone)
            approve(world, plan, Approval(plan.digest, frozenset(), by="up"))
        else:
            progress.say(f"Going on with plan {plan.digest}, which was interrupted.")
        execute(world, fleet, plan, progress.watch)
        outputs = world.clouds[site].outputs(fleet.site(site))
        at = world.gate.stage(outputs) if outputs and may_be_primary(survey, site) else None
    done = outputs.to_json() if outputs else {}
    said = f"{site} is up at {', '.join(done['addresses'])}."
    say_json(done) if as_json else typer.echo(f"{said} {how_far(at) if at else ''}".rstrip())
