"""`resilience switchover`: move to another site while everything lives, and lose nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from resilience.cli.approval import Accepted, approve_read
from resilience.cli.context import Context, say_json, sign_offs
from resilience.decide import plan_switchover
from resilience.decide.forecast import forecast
from resilience.decide.vaults import ending
from resilience.engine.execute import execute, unfinished
from resilience.engine.observe import observe
from resilience.engine.run import Run
from resilience.engine.steps.hand_over import open_again
from resilience.model import Event, Fleet, Plan, SignOff, Stage
from resilience.ports import World
from resilience.render import Progress


def run(
    ctx: typer.Context,
    digest: Annotated[str | None, typer.Option(help="Digest of the plan that was read.")] = None,
    accept: Accepted = None,
    to: Annotated[str | None, typer.Option(help="The site that is to serve.")] = None,
    sign_off: Annotated[list[str] | None, typer.Option(help='"WHO; REFERENCE; DATE", for a legal order.')] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show the plan without --digest; with it, do that plan: for maintenance, or to come home. Refused on any doubt.

    Interrupted, it goes on when run again; refused, it is planned anew.

    Exit status: 0 the other site serves, 1 error, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    with context.world(site=to) as (fleet, world), context.alone():
        plan = move(context, fleet, world, Asked(to, digest, tuple(accept or ()), sign_offs(sign_off)), silent=as_json)
        paused = paused_s(world.log.read())
    done = {"digest": plan.digest, "site": plan.target, "paused_s": paused}
    said = f"{plan.target} serves {fleet.names.host}; no write was lost, none could be made for {paused} s."
    say_json(done) if as_json else typer.echo(
        f"{said} Who still has the old address waits up to {fleet.names.ttl_s} s."
    )


def paused_s(events: Sequence[Event]) -> float | None:
    """Seconds from the moment the old site stopped taking writes until the new one took them."""
    closed = [event.at for event in events if event.kind == "closed"]
    opened = [event.at for event in events if event.kind == "opened" and event.data["stage"] == Stage.WRITES]
    return round(opened[-1] - closed[-1], 1) if closed and opened and opened[-1] > closed[-1] else None


@dataclass(frozen=True)
class Asked:
    """What a person asked for and stands for."""

    to: str | None
    digest: str | None
    accepted: tuple[str, ...]
    signed: tuple[SignOff, ...] = ()
    pictures_until: float | None = None
    """When it moves although old pictures are still to come."""
    leaving: frozenset[str] = frozenset()
    """Vendors that gave notice, or go with one that did."""


def interrupted(world: World, asked: Asked) -> Plan | None:
    """The move that was interrupted, where what was typed can mean it."""
    plan = unfinished(world, "switchover")
    return plan if plan and asked.digest in {None, plan.digest} and asked.to in {None, plan.target} else None


def _counts_on(plan: Plan, ends: Sequence[str]) -> bool:
    """Whether one of these vaults would be in its set: it was approved before anybody knew that they end."""
    return any(not {*ends}.isdisjoint(step.args["vaults"]) for step in plan.steps if step.action == "seal")


def move(context: Context, fleet: Fleet, world: World, asked: Asked, *, silent: bool) -> Plan:
    """Go on with what was interrupted, or do the approved plan; UsageError with the plan shown where none is."""
    with Progress.for_people(silent=silent) as progress:
        plan = interrupted(world, asked)
        if plan is None or _counts_on(plan, ending(fleet, asked.leaving)):
            if plan is not None and not (begun := Run(world, fleet, plan)).set_out_to_seal():
                open_again(begun, plan.source)  # a site opens as far as the one before it is open
            survey = observe(world, fleet)
            until, leaving = asked.pictures_until, asked.leaving
            plan = plan_switchover(fleet, survey, to=asked.to, pictures_until=until, leaving=leaving)
            expected = forecast(fleet, survey, plan)
            approve_read(context, world, plan, asked.digest, asked.accepted, asked.signed, expected)
        else:
            progress.say(f"Going on with plan {plan.digest}, which was interrupted.")
        execute(world, fleet, plan, progress.watch)
    return plan
