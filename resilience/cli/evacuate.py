"""`resilience evacuate`: leave a vendor within its notice, and lose nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer

from resilience.cli import switchover
from resilience.cli.approval import Accepted
from resilience.cli.context import Context, say_json, sign_offs
from resilience.cli.notice import chosen, kept, pressing, when
from resilience.decide import with_companions
from resilience.decide.evacuation import Evacuation
from resilience.engine.measure import Moving, measure
from resilience.engine.observe import read
from resilience.engine.serving import serving_site
from resilience.errors import ResilienceError, UsageError
from resilience.model import Fleet, Notice
from resilience.render import words

WHICH = "Which notice; where absent, the one of the vendor whose site serves that has its deadline ahead."


def run(
    ctx: typer.Context,
    reference: Annotated[str, typer.Argument(help=WHICH)] = "",
    digest: Annotated[str | None, typer.Option(help="Digest of the plan that was read.")] = None,
    accept: Accepted = None,
    to: Annotated[str | None, typer.Option(help="The site to move to.")] = None,
    sign_off: Annotated[list[str] | None, typer.Option(help='"WHO; REFERENCE; DATE", for a legal order.')] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show what is still to copy and whether it is done before the deadline; with --digest, move by a switchover.

    Where no deadline of the vendor whose site serves lies ahead, or several do, it names them: say which.

    Exit status: 0 moved, 1 error, 2 usage: no plan was approved, or which notice has to be said, 5 refused.
    """
    context: Context = ctx.obj
    asked = switchover.Asked(to, digest, tuple(accept or ()), sign_offs(sign_off))
    with context.world(site=to) as (fleet, world), context.alone(urgent=True):
        serving = serving_site(world, fleet)
        site = serving.site
        going = switchover.interrupted(world, asked)
        left = fleet.site(going.source if going is not None and going.target == site else site).vendor
        notice = chosen(context, reference) if reference else pressing(kept(context).all(), left, world.clock.now())
        if fleet.site(site).vendor == notice.vendor:
            leaving = with_companions(fleet, frozenset({notice.vendor}))
            target = _target(fleet, notice.vendor, leaving, to)
            found = measure(world, fleet, Moving(notice, site, target), _keys(context, fleet))
            typer.echo(evacuation_text(notice, found, target), err=True)
            half = notice.received_at + (notice.deadline_at - notice.received_at) / 2
            asked = replace(asked, to=target, pictures_until=half, leaving=leaving)
            site = switchover.move(context, fleet, world, asked, silent=as_json).target
        elif going is not None and left == notice.vendor:
            switchover.move(context, fleet, world, asked, silent=as_json)
        elif read(lambda: world.app.serving(serving)) is not True:
            raise ResilienceError(
                f"{site} may write, and does not serve.",
                "A move to it has not come to its end.",
                "Run what was interrupted again: `resilience switchover`, or `resilience failover`.",
            )
    done = {"site": site, "vendor": fleet.site(site).vendor}
    say_json(done) if as_json else typer.echo(f"{site} serves {fleet.names.host}; nothing serves at {notice.vendor}.")


def evacuation_text(notice: Notice, found: Evacuation, target: str) -> str:
    """The table: what goes first, how much, when it has arrived."""
    lines = [f"{notice.vendor} ends the account at {when(notice.deadline_at)}. To {target}, in this order:"]
    for load in found.loads:
        done = "not known" if load.done_at is None else f"{datetime.fromtimestamp(load.done_at, UTC):%Y-%m-%d %H:%M:%S}"
        lines.append(
            f"  {load.what:13}{words.size(load.bytes):>10}, {words.size(load.left):>10} to copy, there by {done}"
        )
    if found.rate is not None:
        lines.append(
            f"  rate: {words.size(round(found.rate))} a second, from {found.measured_at}'s vault to this machine, now."
        )
        lines.append(f"  What {target}'s host can take was not measured: think of its line where it is the slower one.")
    else:
        lines.append("  rate: not known")
    if found.margin_s is None:
        lines.append("  Whether that is before the deadline is not known.")
    elif found.margin_s < 0:
        lines.append(f"  TOO LATE by {words.seconds(-found.margin_s)}: what comes first above is what is saved.")
    else:
        lines.append(f"  That is {words.seconds(found.margin_s)} before the deadline.")
    return "\n".join(lines)


def _target(fleet: Fleet, vendor: str, leaving: frozenset[str], to: str | None) -> str:
    left = [site.name for site in fleet.sites if site.vendor not in leaving]
    others = sorted(leaving - {vendor})
    if not left:
        raise UsageError(
            "There is no site to move to.",
            f"All others are at {' or '.join([vendor, *others])}: the account there ends, or is expected to go with it.",
            "Declare a site at another vendor in the fleet file.",
        )
    if to is not None and fleet.site(to).vendor in leaving:
        ways = " or ".join(f"--to {name}" for name in left)
        at = fleet.site(to).vendor
        which = f"{at}, which is expected to go with {vendor}" if at in others else f"{at}, too"
        raise UsageError(f"{to} is at {which}.", "It goes when the account goes.", f"Say {ways}.")
    return to or left[0]


def _keys(context: Context, fleet: Fleet) -> int:
    kit = context.home.directory / fleet.kit
    return sum(path.stat().st_size for path in kit.rglob("*") if path.is_file())
