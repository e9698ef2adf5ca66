"""`resilience order add|list`: legal orders, recorded where every operator of the fleet finds them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from resilience.cli.context import Context, is_date, say_json
from resilience.engine import orders
from resilience.errors import UsageError
from resilience.model import LegalOrder

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Legal orders: record one, list them.")


@app.command("add")
def add(
    ctx: typer.Context,
    reference: Annotated[str, typer.Option(help="What the order is filed under.")],
    authority: Annotated[str, typer.Option(help="Who ordered it.")],
    issued: Annotated[str, typer.Option(help="The order's own date, YYYY-MM-DD.")],
    vendor: Annotated[str, typer.Option(help="The vendor it was served on; us where absent.")] = "",
    down: Annotated[list[str] | None, typer.Option(help="A post that was ordered down, by its id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Record an order in every vault. From now on a failover needs a sign-off for it, and what it names stays down.

    A vault that lacks it is named. Whatever takes a snapshot or gives a vault what it lacks brings it there, too.

    Exit status: 0 recorded in enough vaults that it can't be forgotten while k of them are left, 1 error, 2 usage.
    """
    if not is_date(issued):
        raise UsageError(f"--issued {issued} is not a date.", "An order has one.", "Write it like 2026-11-25.")
    _in_one_line("--reference", reference)
    _in_one_line("--authority", authority)
    context: Context = ctx.obj
    with context.world() as (_, world), context.alone():
        order = LegalOrder(reference, authority, issued, vendor, tuple(down or ()))
        done = orders.record(world, order)
    if as_json:
        say_json({**asdict(order), "vaults": done.held, "lacking": done.lacking})
        return
    typer.echo(f"{reference} is recorded in {', '.join(done.held)}.")
    for name, why in done.lacking.items():
        typer.echo(f"{name} lacks it: {why}. Run the same command again once it answers.")


@app.command("list")
def list_orders(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False
) -> None:
    """List the orders that the vaults hold, and name vaults that did not list theirs, or hold something else.

    Exit status: 0 listed, 1 error.
    """
    context: Context = ctx.obj
    with context.world() as (_, world):
        listing = orders.listing(world, world.vaults)
    found = listing.orders
    for name, error in listing.silent.items():
        typer.echo(f"{name} did not list its orders: {error.why}", err=True)
    for doubt in listing.doubts:
        typer.echo(f"{doubt}.", err=True)
    if as_json:
        say_json([asdict(order) for order in found])
        return
    for order in found:
        down = f", down: {', '.join(order.down)}" if order.down else ""
        typer.echo(f"{order.issued} {order.authority}: {order.reference}{down}")
    if not found and not listing.silent:
        typer.echo("No order is recorded.")


def _in_one_line(option: str, text: str) -> None:
    """UsageError for what nobody could read off a plan and type again."""
    if not text or text != text.strip() or not text.isprintable():
        raise UsageError(
            f"{option} {text!r} is empty, or has blanks at an end or characters that nobody sees.",
            "Whoever signs off types it again, as a plan prints it.",
            "Write it in one line, with plain blanks between words.",
        )
