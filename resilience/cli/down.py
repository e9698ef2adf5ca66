"""`resilience down SITE`: destroy what `up` made; never the site that may write."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.approval import Accepted
from resilience.cli.context import Context, say_json
from resilience.engine.stack_state import destroy
from resilience.errors import Refused
from resilience.replication.epoch import newest_of


def run(
    ctx: typer.Context,
    site: Annotated[str, typer.Argument(help="A site of the fleet.")],
    accept: Accepted = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Destroy SITE's hosts. The primary only with --accept loses-writes. Vaults stay.

    Refused where another machine has put a newer state of the stack into the vaults.

    Exit status: 0 done, 1 error, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    with context.world(site=site) as (fleet, world), context.alone():
        epoch = newest_of(world.vaults, world.signer.verify)
        if epoch and epoch.site == site and "loses-writes" not in (accept or ()):
            raise Refused(
                f"{site} is the primary: epoch {epoch.number} lets it write.",
                "Users would be cut off, and what no vault holds yet would be lost.",
                "Fail over first; or, if the service is to end, add --accept loses-writes",
            )
        destroy(world, fleet.name, fleet.site(site))
    say_json({"site": site, "down": True}) if as_json else typer.echo(f"{site} is down.")
