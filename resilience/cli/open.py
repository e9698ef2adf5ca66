"""`resilience open STAGE`: let more through at the site that serves, or less."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.context import Context, declared, say_json
from resilience.decide import plan_open, with_companions
from resilience.engine.execute import Approval, approve, execute
from resilience.errors import ResilienceError
from resilience.model import Stage
from resilience.render import Progress
from resilience.replication.epoch import newest_of


def run(
    ctx: typer.Context,
    stage: Annotated[Stage, typer.Argument(help="closed, read-only, writes or sign-ups.")],
    lost: Annotated[list[str] | None, typer.Option(help="A vendor not to call.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Open the site that may write up to STAGE, each stage once its condition holds; or close it down to STAGE.

    Exit status: 0 it is at STAGE, 1 error, 2 usage, 5 a condition does not hold.
    """
    context: Context = ctx.obj
    with context.world() as (fleet, world), context.alone(urgent=True), Progress.for_people(silent=as_json) as progress:
        dead = with_companions(fleet, declared(fleet, lost))
        asked = {name: vault for name, vault in world.vaults.items() if fleet.vault(name).vendor not in dead}
        epoch = newest_of(asked, world.signer.verify)
        site = fleet.site(epoch.site) if epoch else None
        outputs = world.clouds[site.name].outputs(site) if site else None
        if epoch is None or outputs is None:
            raise ResilienceError("No site serves yet.", "No epoch, or no host.", "Run `resilience up` first.")
        plan = plan_open(fleet, epoch.site, world.gate.stage(outputs), stage, dead)
        approve(world, plan, Approval(plan.digest, frozenset(), by="operator"))
        execute(world, fleet, plan, progress.watch)
        at = world.gate.stage(outputs)
    say_json({"site": epoch.site, "stage": str(at)}) if as_json else typer.echo(f"{epoch.site} is at {at}.")
    if at != stage:
        raise typer.Exit(5)
