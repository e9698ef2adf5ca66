"""`resilience restore`: the database as it was at a moment, beside everything else or into a site."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from resilience.cli.approval import approve_read, goes_on
from resilience.cli.context import Context, declared, say_json, sign_offs
from resilience.decide import plan_restore, with_companions
from resilience.decide.forecast import forecast
from resilience.engine.execute import execute, unfinished
from resilience.engine.observe import observe
from resilience.engine.opening import stage_of
from resilience.errors import UsageError
from resilience.model import Fleet, Plan, Point, Stage
from resilience.ports import World
from resilience.render import Progress
from resilience.render.words import serves
from resilience.replication.scratch import Moment


def run(
    ctx: typer.Context,
    into: Annotated[Path | None, typer.Option(help="A new folder, which Postgres' user may enter.")] = None,
    site: Annotated[
        str | None, typer.Option(help="The site that is to serve it, instead of what is there now.")
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME|LSN", help="Up to where; all there is where absent.")] = None,
    of: Annotated[int | None, typer.Option(metavar="EPOCH", help="Of this epoch, also where it was cut off.")] = None,
    digest: Annotated[str | None, typer.Option(help="With --site: digest of the plan that was read.")] = None,
    accept: Annotated[list[str] | None, typer.Option(help="With --site: a hazard, by its name.")] = None,
    lost: Annotated[list[str] | None, typer.Option(help="With --site: a vendor that counts as lost.")] = None,
    hold: Annotated[Stage | None, typer.Option(help="With --site: do not open as far as this stage.")] = None,
    sign_off: Annotated[list[str] | None, typer.Option(help='"WHO; REFERENCE; DATE", for a legal order.')] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Bring the database back as it was: --into a folder here, where nothing is changed, or into a --site, which then serves it.

    A folder gets the database alone: what the app keeps beside it, such as pictures and the keys that texts are sealed with, is not in it.
    A copy that would end before that moment is an error, and says until when data is good. Into a site it shows the plan
    without --digest and does it with; what was written after is undone, and kept in the vaults. Interrupted, it goes on.

    Exit status: 0 done, 1 error, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    Moment.parse(at)
    if (into is None) == (site is None):
        raise UsageError(
            "Where to?",
            "A copy goes into a folder on this machine, or into a site that then serves it.",
            "Say --into DIR to look at it first, or --site SITE.",
        )
    if into is not None or site is None:
        beside(context, (into or Path()).absolute(), at, of, as_json=as_json)
        return
    with (
        context.world(lost=lost, site=site) as (fleet, world),
        context.alone(urgent=True),
        Progress.for_people(silent=as_json) as progress,
    ):
        plan = unfinished(world, "restore")
        asked = {"at": at, "of": of, "lost": sorted(lost or ()), "hold": str(hold or "")}
        if plan is None or plan.target != site or not goes_on(world, plan, digest, asked):
            dead = with_companions(fleet, declared(fleet, lost))
            survey, point = observe(world, fleet, dead), _point(fleet, world, dead, at, of)
            plan = plan_restore(fleet, survey, point, to=site, declared=dead, hold=hold)
            expected = forecast(fleet, survey, plan, point)
            approve_read(context, world, plan, digest, accept, sign_offs(sign_off), expected, asked)
        else:
            progress.say(f"Going on with plan {plan.digest}, which was interrupted.")
        execute(world, fleet, plan, progress.watch)
        at = stage_of(world, fleet, plan.target)
    done = {**_done(plan), "stage": str(at)}
    back = f"To go back to what was cut off, until it is pruned: {done['back']}"
    say_json(done) if as_json else typer.echo(f"{serves(plan.target, at, f'{fleet.names.host} as it was.')}\n{back}")


def beside(context: Context, folder: Path, at: str | None, of: int | None, *, as_json: bool) -> None:
    """A copy in a folder on this machine; no site and no vault is changed."""
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty.", "Nothing is restored over what is there.", "Name a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with context.world() as (_, world):
        found = world.plane.restore_at(folder, at, of)
    if as_json:
        say_json(found)
        return
    typer.echo(f"{found['pg']} is the database up to {found['end_lsn']}, from {found['vault']}'s snapshot.")
    typer.echo(f"It took {found['seconds']} s and is stopped. The keys to it are yours: remove it when you are done.")
    typer.echo(
        "It is the database alone: pictures, and the keys that texts are sealed with, are files of a site's media."
    )


def _point(fleet: Fleet, world: World, dead: frozenset[str], at: str | None, of: int | None) -> Point:
    """Where it would end, read from vaults at vendors that are not lost."""
    if at is None and of is None:
        raise UsageError(
            "No moment was given.",
            "All that there is, is what the site serves already.",
            "Say --at TIME|LSN; or --of EPOCH for all of a chain that was cut off.",
        )
    closed = frozenset(vault.name for vault in fleet.vaults if vault.vendor in dead)
    return world.without(closed).plane.point(at, of)


def _done(plan: Plan) -> Mapping[str, Any]:
    """What is served now, and the command that goes back."""
    args = {step.action: step.args for step in plan.steps}
    cut = int(args["seal"]["number"]) - 1
    back = f"resilience restore --site {plan.target} --of {cut}"
    return {"digest": plan.digest, "site": plan.target, **args["restore"]["until"], "cut_off": cut, "back": back}
