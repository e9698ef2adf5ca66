"""What a person reads before anything changes, and what stands for having read it: a plan's digest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from resilience.cli.context import Context, refuse_unknown
from resilience.decide.forecast import Forecast
from resilience.engine.execute import Approval, approve
from resilience.errors import UsageError
from resilience.model import HAZARDS, Plan, SignOff
from resilience.ports import World
from resilience.render import plan_text


def _known(names: list[str] | None) -> list[str] | None:
    """The names as they were typed; UsageError for one that no hazard has."""
    for name in names or ():
        refuse_unknown(
            "hazard", name, sorted(HAZARDS), "Nothing is accepted by a name that may be a slip of the finger."
        )
    return names


Accepted = Annotated[list[str] | None, typer.Option(help="A hazard, by its name.", callback=_known)]
"""Hazards that a person accepts; a name that none has is told before anything is read."""


def approve_read(
    context: Context,
    world: World,
    plan: Plan,
    digest: str | None,
    accepted: Iterable[str] | None,
    signed: tuple[SignOff, ...] = (),
    expected: Forecast | None = None,
) -> None:
    """Approve the plan where its digest was given; else show it, keep it, and end with UsageError that says the digest."""
    if digest is None:
        context.keep(plan)
        typer.echo(plan_text(plan, expected=expected), err=True)
        raise UsageError(
            "No plan was approved.",
            "What is done is the plan that a person has read, and no other.",
            f"Read it above; then add --digest {plan.digest}",
        )
    approve(world, plan, Approval(digest, frozenset(accepted or ()), "operator", signed), context.kept(digest))
