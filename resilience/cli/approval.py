"""What a person reads before anything changes, and what stands for having read it: a plan's digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from resilience.cli.context import Context, refuse_unknown
from resilience.decide.forecast import Forecast
from resilience.engine.execute import Approval, approve, asked_for
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
    asked: Mapping[str, Any] | None = None,
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
    approval = Approval(digest, frozenset(accepted or ()), "operator", signed, asked or {})
    approve(world, plan, approval, context.kept(digest))


def goes_on(world: World, plan: Plan, digest: str | None, asked: Mapping[str, Any]) -> bool:
    """Whether what was typed goes on with an interrupted plan: alone, or by its digest with no option that it was not begun with."""
    if digest not in {None, plan.digest}:
        return False
    began = asked_for(world, plan.digest) if digest else {}
    return all(began.get(option) == value for option, value in asked.items() if value)
