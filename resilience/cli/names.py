"""`resilience names`: the zone as declared against the zone as each DNS vendor has it."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.context import Context, declared, say_json
from resilience.decide.names import wanted
from resilience.engine.observe import read
from resilience.errors import Exit, UsageError
from resilience.model import Fleet, Unknown
from resilience.wire import budgets


def run(
    ctx: typer.Context,
    lost: Annotated[list[str] | None, typer.Option(help="A vendor not to call.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Bring every vendor that answers in line.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show where each DNS vendor's zone is not as the fleet file says; with --apply add and change what is declared.

    Nothing that is not declared is removed, and where the name itself leads is left to plans.

    Exit status: 0 all alike, 1 some are not, 2 usage, 4 some vendor did not answer.
    """
    context: Context = ctx.obj
    _refuse_none_left(context.home.load(), lost)
    with context.world(lost=lost, budget=budgets("names")) as (fleet, world):
        zones = {name: zone for name, zone in world.zones.items() if name not in declared(fleet, lost)}
        host, records = fleet.names.host, {name: wanted(fleet.names, name) for name in zones}
        if apply:
            with context.alone():
                failed = {n: read(lambda z=z, n=n: z.align(host, records[n])) for n, z in zones.items()}  # type: ignore[misc]
        found = {name: read(lambda z=zone, n=name: z.drift(host, records[n])) for name, zone in zones.items()}  # type: ignore[misc]
    if apply:
        found |= {name: why for name, why in failed.items() if isinstance(why, Unknown)}
    if as_json:
        say_json({n: {"unknown": d.why} if isinstance(d, Unknown) else list(d) for n, d in found.items()})
    else:
        for name, lines in found.items():
            told = [f"unknown: {lines.why}"] if isinstance(lines, Unknown) else list(lines) or ["as declared"]
            typer.echo("\n".join([f"{name}:", *(f"  {line}" for line in told)]))
    if any(isinstance(lines, Unknown) for lines in found.values()):
        raise typer.Exit(Exit.UNKNOWN)
    if any(found.values()):
        raise typer.Exit(Exit.ERROR)


def _refuse_none_left(fleet: Fleet, lost: list[str] | None) -> None:
    """UsageError where nobody would be asked: that nothing was found says nothing then."""
    vendors = {zone.vendor for zone in fleet.names.zones}
    if vendors and vendors <= declared(fleet, lost):
        raise UsageError(
            "No DNS vendor is left to ask.",
            "Each one that the fleet file names is given as lost.",
            "Declare a zone at another vendor ([[names.zone]]), then run the same command again.",
        )
