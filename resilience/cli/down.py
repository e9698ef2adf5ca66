"""`resilience down SITE`: destroy what `up` or a rehearsal made; never the site that may write."""

from __future__ import annotations

from typing import Annotated

import typer

from resilience.cli.approval import Accepted
from resilience.cli.context import Context, say_json
from resilience.decide import rehearsal_site
from resilience.engine.past import past_of
from resilience.engine.rehearsal import remove_host
from resilience.engine.stack_state import destroy
from resilience.errors import Refused, TooFewVaults
from resilience.ports import World
from resilience.replication.epoch import surely_newest

ANYWAY = "To destroy it whatever it holds, add --accept loses-writes"


def run(
    ctx: typer.Context,
    site: Annotated[str, typer.Argument(help="A site of the fleet.")],
    accept: Accepted = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Destroy SITE's hosts. The primary only with --accept loses-writes. Vaults stay.

    SITE-rehearsal is the host that a rehearsal left.

    Where too few vaults answer to say who the primary is, it takes the same. Refused where another machine has put a newer state of the stack into the vaults.

    Exit status: 0 done, 1 error, 2 usage, 5 refused.
    """
    context: Context = ctx.obj
    if rehearsal_site(context.home.load(), site):
        _remove_rehearsal(context, site)
    else:
        _destroy(context, site, accept)
    say_json({"site": site, "down": True}) if as_json else typer.echo(f"{site} is down.")


def _remove_rehearsal(context: Context, site: str) -> None:
    """What a rehearsal made: no failover is kept waiting for it."""
    with context.world() as (fleet, world), context.alone_at_rehearsals():
        remove_host(world, world.clouds, fleet, site)


def _destroy(context: Context, site: str, accept: list[str] | None) -> None:
    with context.world(site=site) as (fleet, world), context.alone():
        if "loses-writes" not in (accept or ()):
            _refuse_primary(world, site)
        destroy(world, fleet.name, fleet.site(site))


def _refuse_primary(world: World, site: str) -> None:
    """Refused where this site may write, or where that can't be ruled out: vaults that missed a failover show an older epoch."""
    try:
        epoch = surely_newest(world.vaults, world.signer.verify)
    except TooFewVaults as error:
        raise TooFewVaults(f"{site} may be the primary. {error.what}", error.why, f"{error.next} {ANYWAY}") from error
    if epoch and epoch.site == site:
        raise Refused(
            f"{site} is the primary: epoch {epoch.number} lets it write.",
            "Users would be cut off, and what no vault holds yet would be lost.",
            "Fail over first; or, if the service is to end, add --accept loses-writes",
        )
    shown, sealed = epoch.number if epoch else 0, past_of(world.log.read()).sealed
    if sealed > shown:
        raise Refused(
            f"{site} may be the primary.",
            f"This machine's journal says that epoch {sealed} was sealed, and the vaults that answer show {shown}.",
            f"Bring back a vault that holds it and run the same command again. {ANYWAY}",
        )
