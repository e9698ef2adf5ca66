"""`resilience drill`: lose a vendor on purpose, come back, and be judged."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from resilience.adapters.journal_file import JournalFile
from resilience.cli.context import Context, say_json
from resilience.cli.outcome import exit_for, remember, write_report
from resilience.cli.round_file import running_code
from resilience.cli.rounds import LAB, as_drilled, keep_lab, prepared_for, round_folder, run_round
from resilience.engine.drill import FAULTS, Drill, run_drill
from resilience.errors import Refused, ResilienceError, UsageError
from resilience.judge import judge, verdict_json
from resilience.lab import Lab
from resilience.lab.material import prepare_material
from resilience.model import Event, Verdict
from resilience.render import Progress, verdict_text
from resilience.simulation import SimulatedGround, SimulatedUsers, State, simulated_fleet, simulated_world
from resilience.wire import Home, real_world


class Size(StrEnum):
    """How much data is in the app."""

    SMALL = "small"
    MEDIUM = "medium"


class Durability(StrEnum):
    """Whether commits wait for the vaults."""

    ASYNC = "async"
    QUORUM = "quorum"


def run(
    ctx: typer.Context,
    size: Annotated[Size, typer.Option(help="How much data.")] = Size.SMALL,
    fault: Annotated[str, typer.Option(help=f"One of: {', '.join(FAULTS)}.")] = "terminate",
    standby: Annotated[str, typer.Option(help="cold: nothing runs at the target; hot: it follows.")] = "cold",
    durability: Annotated[Durability, typer.Option(help="Do commits wait?")] = Durability.ASYNC,
    to: Annotated[str | None, typer.Option(help="The site to fail over to.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeat a drill's chances.")] = None,
    report: Annotated[Path | None, typer.Option(help="Where the report goes.")] = None,
    newcomers: Annotated[int, typer.Option(min=1, max=100, help="People who sign up in a second.")] = 2,
    tls: Annotated[bool, typer.Option("--tls", help="By HTTPS; after the fault no authority answers.")] = False,
    lost: Annotated[list[str] | None, typer.Option(help="A vendor that the fault hits; may be repeated.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every fault, each vendor, each pair; resumes.")] = False,
    set_aside: Annotated[Path | None, typer.Option(help="Make and fill a lab, keep it there, drill nothing.")] = None,
    from_aside: Annotated[Path | None, typer.Option("--from", help="Drill on a lab that was set aside.")] = None,
    of_round: Annotated[str, typer.Option("--round", hidden=True, help="The round that runs this.")] = "",
    simulate: Annotated[bool, typer.Option("--simulate", help="In memory; proves nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Make a lab, run the app, terminate a vendor, fail over, judge, tear down.

    Exit status: 0 met, 1 error, 2 usage, 3 missed, 4 unknown, 5 refused.
    """
    drill = Drill(size, fault, standby, durability, to, _seed(seed), tuple(lost or ()), simulate, newcomers, tls)
    drill = replace(drill, round=of_round, code=running_code())
    _possible(ctx.obj, drill, everything=everything)
    if everything:
        raise typer.Exit(run_round(drill, report or round_folder(drill), drawn=seed is None, silent=as_json))
    if set_aside is not None:
        raise typer.Exit(keep_lab(drill, set_aside.absolute(), silent=as_json))
    directory = (report or Path("reports") / f"{time.strftime('%Y%m%d-%H%M%S')}-{fault}").absolute()
    log = _fresh_journal(directory)
    with Progress.for_people(silent=as_json) as progress:
        progress.say(f"Seed {drill.seed}.")
        try:
            verdict = _simulate(drill, log, progress) if simulate else _in_lab(drill, log, progress, from_aside)
        except ResilienceError:
            if _report_what_there_is(directory, log):
                progress.say(f"Report: {directory / 'report.html'}")
            raise
    write_report(directory, log.read(), verdict)
    remember(directory, log.read(), verdict)
    say_json(verdict_json(verdict)) if as_json else typer.echo(verdict_text(verdict))
    if not as_json:
        typer.echo(f"Report: {directory / 'report.html'}")
    raise typer.Exit(exit_for(verdict))


def _report_what_there_is(directory: Path, log: JournalFile) -> bool:
    """A drill that stopped half-way is what a report is most needed for; False where nothing was begun."""
    if events := log.read():
        verdict = judge(events)
        write_report(directory, events, verdict)
        remember(directory, events, verdict)
    return bool(events)


def _seed(given: int | None) -> int:
    return secrets.randbelow(1_000_000) if given is None else given


def _fresh_journal(directory: Path) -> JournalFile:
    journal = directory / "journal.jsonl"
    if journal.exists():
        raise UsageError(
            f"{journal} is there already.",
            "A journal tells of one drill, and is never overwritten.",
            "Name another directory with --report.",
        )
    return JournalFile(journal)


def _possible(context: Context, drill: Drill, *, everything: bool) -> None:
    """Refuse what would touch a live fleet, and what this build can't do."""
    file = Path(context.fleet_file)
    if file.exists() and not context.home.load().lab:
        raise Refused(
            f"{file} declares a live fleet.",
            "A drill injects faults, and faults belong in a lab.",
            "Run it in a directory without a fleet file: it makes a lab of its own.",
        )
    if everything and (drill.to or drill.lost):
        raise UsageError(
            f"--{'to' if drill.to else 'lost'} is nothing for a round.",
            "Each of its drills loses other vendors, and goes to a site that is left then.",
            "Leave it out, or drill one loss alone.",
        )
    if drill.simulated and drill.tls:
        raise UsageError(
            "--tls is nothing to simulate.", "Certificates are real or they are none.", "Leave --simulate out."
        )
    for word, value, known in (
        ("fault", drill.fault, FAULTS),
        ("standby", drill.standby, ("cold", "hot")),
        ("size", drill.size, ("small", "medium")),
    ):
        if value not in known:
            raise UsageError(
                f"--{word} {value} is not in this build.",
                "It would have to be pretended, and a drill pretends nothing.",
                f"Use one of: {', '.join(known)}.",
            )


def _simulate(drill: Drill, log: JournalFile, progress: Progress) -> Verdict:
    fleet, state = as_drilled(simulated_fleet(), drill), State()
    world = replace(simulated_world(state, fleet), log=log)
    users = SimulatedUsers(state, fleet)
    run_drill(world, fleet, SimulatedGround(state, fleet, users), users, drill, progress.watch)
    return judge(log.read())


def _in_lab(drill: Drill, log: JournalFile, progress: Progress, from_aside: Path | None) -> Verdict:
    lab = Lab(LAB.absolute())
    prepared = None if from_aside is None else prepared_for(drill, from_aside)
    with progress.stage("lab", 12):
        lab.up(progress.say, from_aside=from_aside, tls=drill.tls)
    try:
        home = Home(lab.fleet_file)
        prepare_material(lab.directory / "material", drill.size)
        fleet = as_drilled(home.load(), drill)
        with real_world(home, fleet, log) as (world, users):
            run_drill(world, fleet, lab, users, drill, progress.watch, prepared)
    finally:
        with progress.stage("teardown", 5):
            left = lab.down()
        log.append(Event(time.time(), "torn-down", {"left": left}))
    return judge(log.read())
