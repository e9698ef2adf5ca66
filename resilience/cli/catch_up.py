"""`resilience catch-up`: fill what a vault lacks that was left behind."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.context import Context, say_json
from resilience.engine import orders
from resilience.engine.put_back import put_back
from resilience.errors import ResilienceError, UsageError
from resilience.replication.epoch import newest_of


def run(
    ctx: typer.Context,
    vault: Annotated[str, typer.Argument(help="The vault, as `status` names it.")],
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Copy WAL, pictures, ledger and legal orders that a vault lacks from the other vaults, then let ship count it again.

    The primary's host takes no part in the copying. A vault that was emptied is given epochs, states and supplies as well,
    once it holds a snapshot again (`resilience snapshot`).

    Exit status: 0 nothing is lacking, 1 error, 2 usage.
    """
    context: Context = ctx.obj
    with context.world(vaults=[vault]) as (fleet, world):
        epoch = newest_of(world.vaults, world.signer.verify)
        if epoch is None or vault not in epoch.vaults:
            known = ", ".join(epoch.vaults) if epoch else "none, no epoch is sealed"
            raise UsageError(f"{vault} is no vault of the newest epoch.", f"Its vaults: {known}.", "Name one of them.")
        site = fleet.site(epoch.site)
        outputs = world.clouds[site.name].outputs(site)
        if outputs is None:
            raise ResilienceError(f"{site.name} has no hosts.", "Its stack exports nothing.", "Look at `status`.")
        done = world.plane.catch_up(site, outputs, vault)
        put_back(world.vaults, vault, world.signer.verify)
        given = orders.spread(world).get(vault, 0)
        if isinstance(given, ResilienceError):
            raise given
    told = (
        f"{vault} was given {done['chunks']} chunks and {done['objects']} objects; it lacks nothing that ship knows of."
    )
    if unreadable := done.get("unreadable"):
        told += f" {len(unreadable)} pictures are damaged in every vault that answers: {', '.join(unreadable[:5])}."
    say_json(done) if as_json else typer.echo(told)
