"""`resilience order add|list|withdraw`: legal orders, recorded where every operator of the fleet finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from resilience.cli.context import Context, is_date, say_json
from resilience.engine import orders
from resilience.errors import UsageError
from resilience.model import Fleet, LegalOrder
from resilience.ports import World

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Legal orders: record one, list them, withdraw one."
)


@app.command("add")
def add(
    ctx: typer.Context,
    reference: Annotated[str, typer.Option(help="What the order is filed under.")],
    authority: Annotated[str, typer.Option(help="Who ordered it.")],
    issued: Annotated[str, typer.Option(help="The order's own date, YYYY-MM-DD.")],
    vendor: Annotated[str, typer.Option(help="The vendor it was served on; us where absent.")] = "",
    down: Annotated[
        list[str] | None, typer.Option(help="A post that was ordered down: its id, or its address.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Record an order in every vault. From now on a failover needs a sign-off for it, and what it names stays down.

    A vault that lacks it is named. Whatever takes a snapshot or gives a vault what it lacks brings it there, too.

    Exit status: 0 recorded in enough vaults that it can't be forgotten while k of them are left, 1 error, 2 usage: no date, or no post.
    """
    if not is_date(issued):
        raise UsageError(f"--issued {issued} is not a date.", "An order has one.", "Write it like 2026-11-25.")
    _in_one_line("--reference", reference)
    _in_one_line("--authority", authority)
    context: Context = ctx.obj
    with context.world() as (fleet, world), context.alone():
        order = LegalOrder(reference, authority, issued, vendor, _ids(world, fleet, down or ()))
        done = orders.record(world, order)
    if as_json:
        say_json({**asdict(order), "vaults": done.held, "lacking": done.lacking})
        return
    typer.echo(f"{reference} is recorded in {', '.join(done.held)}.")
    _say_lacking(done)


@app.command("withdraw")
def withdraw(
    ctx: typer.Context,
    reference: Annotated[str, typer.Argument(help="What the order is filed under, as `order list` shows it.")],
    who: Annotated[str, typer.Option(help="Who stands for it.")],
    why: Annotated[str, typer.Option(help="What was wrong with the record.")],
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say in every vault, for good, that an order was recorded by mistake: nobody is asked to sign off for it any more.

    What was taken down for it stays down. Each plan names it as a hazard, and it stays in the list.

    Exit status: 0 recorded in enough vaults, 1 error, 2 usage: no such order.
    """
    _in_one_line("--who", who)
    _in_one_line("--why", why)
    context: Context = ctx.obj
    with context.world() as (_, world), context.alone():
        said, done = orders.withdraw(world, reference, who, why)
    if as_json:
        say_json({"withdrawn": [asdict(one) for one in said], "vaults": done.held, "lacking": done.lacking})
        return
    typer.echo(
        f"{reference} is withdrawn in {', '.join(done.held)}: no plan asks for a sign-off for it. "
        "What was taken down for it stays down."
    )
    _say_lacking(done)


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
        unnamed = {order.reference: orders.no_posts(world, order) for order in listing.orders}
    found = listing.orders
    for name, error in listing.silent.items():
        typer.echo(f"{name} did not list its orders: {error.why}", err=True)
    for doubt in listing.doubts:
        typer.echo(f"{doubt}.", err=True)
    if as_json:
        holding = [{**asdict(order), "no_posts": unnamed[order.reference], "withdrawn": None} for order in found]
        back = [{**(said := asdict(one)).pop("order"), "no_posts": [], "withdrawn": said} for one in listing.withdrawn]
        say_json([*holding, *back])
        return
    for order in found:
        _say(order)
        if told := orders.not_obeyed(order, unnamed[order.reference]):
            typer.echo(f"  {told}")
    for one in listing.withdrawn:
        _say(one.order)
        typer.echo(f"  withdrawn {one.at[:10]} by {one.who}: {one.why}")
    if not found and not listing.withdrawn and not listing.silent:
        typer.echo("No order is recorded.")


def _say(order: LegalOrder) -> None:
    down = f", down: {', '.join(order.down)}" if order.down else ""
    typer.echo(f"{order.issued} {order.authority}: {order.reference}{down}")


def _say_lacking(done: orders.Recorded) -> None:
    for name, why in done.lacking.items():
        typer.echo(f"{name} lacks it: {why}. Run the same command again once it answers.")


def _ids(world: World, fleet: Fleet, named: Sequence[str]) -> tuple[str, ...]:
    """The posts by their ids, each once; UsageError for words that name none."""
    found = {one: world.app.post_id(one) for one in named}
    if wrong := [repr(one) for one, post in found.items() if post is None]:
        raise UsageError(
            f"--down names what is no post: {', '.join(wrong)}.",
            "Nobody could take that down, and what is recorded is never changed.",
            f"Give the id of each post, which is the number at the end of its address, or its address at {fleet.names.host}.",
        )
    return tuple(dict.fromkeys(post for post in found.values() if post is not None))


def _in_one_line(option: str, text: str) -> None:
    """UsageError for what nobody could read off a plan and type again."""
    if not text or text != text.strip() or not text.isprintable():
        raise UsageError(
            f"{option} {text!r} is empty, or has blanks at an end or characters that nobody sees.",
            "Whoever signs off types it again, as a plan prints it.",
            "Write it in one line, with plain blanks between words.",
        )
