"""`resilience rehearse`: come back at another vendor, beside the live fleet, and be judged."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Annotated

import typer

from resilience.adapters.journal_file import JournalFile
from resilience.cli.alone import lets_go_first
from resilience.cli.context import Context, declared, say_json
from resilience.cli.outcome import exit_for, remember, write_report
from resilience.decide import rehearsal_fleet
from resilience.engine.rehearsal import Rehearsal
from resilience.errors import ResilienceError
from resilience.judge import judge, verdict_json
from resilience.model import Fleet, Verdict
from resilience.ports import World
from resilience.render import Progress, verdict_text
from resilience.replication.epoch import newest_of
from resilience.wire import real_world


def run(
    ctx: typer.Context,
    to: Annotated[str | None, typer.Option(help="The site to rehearse; else the first that can be made.")] = None,
    lost: Annotated[list[str] | None, typer.Option(help="A vendor to do without besides; may be repeated.")] = None,
    report: Annotated[Path | None, typer.Option(help="Where the report goes.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Restore everything on a new host at another vendor, let a user through by address, and remove it again.

    The live site, its names and its copies are read and never changed, and the verdict proves it. The vendor bills the host.
    Interrupted, by a failover too, it lets the fleet go at once and removes its host after.

    Exit status: 0 met, 1 error, 2 usage, 3 missed, 4 unknown.
    """
    context: Context = ctx.obj
    fleet = context.home.load()
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    directory = report or context.home.directory / "reports" / f"{name}-rehearsal"
    also = declared(fleet, lost)
    with (
        Progress.for_people(silent=as_json) as progress,
        context.world() as (_, production),
        context.alone_at_rehearsals(),
        context.alone(gives_way=True) as let_go,
        lets_go_first(let_go) as unbroken,
    ):
        rehearsed = rehearsal_fleet(fleet, to, name, _writes(production, fleet))
        log = JournalFile(directory / "journal.jsonl")
        progress.say(f"Rehearsing {rehearsed.sites[-1].name}. Report: {directory / 'report.html'}")
        try:
            with real_world(context.home, rehearsed, log) as (world, _):
                Rehearsal(production, fleet, world, rehearsed).run(also, progress.watch, unbroken)
        finally:
            verdict = _keep(directory, log)
    say_json(verdict_json(verdict)) if as_json else typer.echo(verdict_text(verdict))
    raise typer.Exit(exit_for(verdict))


def _writes(production: World, fleet: Fleet) -> str:
    """The site that may write now."""
    epoch = newest_of(production.vaults, production.signer.verify)
    if epoch is None:
        raise ResilienceError(
            "No vault shows an epoch.",
            "There is nothing to come back with.",
            f"Run `resilience up {fleet.primary.name}`.",
        )
    return epoch.site


def _keep(directory: Path, log: JournalFile) -> Verdict:
    """The report, also of a rehearsal that stopped half-way: that is when it is needed most."""
    events = log.read()
    verdict = judge(events)
    write_report(directory, events, verdict)
    remember(directory, events, verdict, kind="rehearsal")
    return verdict
