"""`resilience drill --all`: every drill of a round on one lab that was filled once; resumes after a kill."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resilience.adapters.journal_file import JournalFile
from resilience.cli.alone import alone
from resilience.cli.history import write_history
from resilience.cli.round_file import UNNAMED, Round, free, move_away, new_round, round_in, running_code
from resilience.decide.cases import Case, full_round
from resilience.engine.drill import Drill, prepare, standing_by
from resilience.errors import Exit, ResilienceError, UsageError
from resilience.lab import Lab, aside
from resilience.lab.material import prepare_material
from resilience.model import Fleet
from resilience.model.fleet import Durability
from resilience.render import Progress
from resilience.simulation import simulated_fleet
from resilience.wire import Home, real_world

LAB = Path(".resilience/drill")
ASIDE = Path(".resilience-aside")
"""Where a round keeps the lab it filled: not below the lab's own folder, which goes with each drill."""
WORST_FIRST = (Exit.ERROR, Exit.MISSED, Exit.UNKNOWN, Exit.DONE)


def run_round(drill: Drill, directory: Path, *, drawn: bool, silent: bool) -> Exit:
    """Each drill of the round in a process of its own; what such a drill met or missed in this round is not run again.

    `drawn`: nobody said a seed, so a round that was interrupted goes on with its own.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with alone(directory / ".lock", at="at this round"):
        return _run_round(drill, directory, drawn=drawn, silent=silent)


def _run_round(drill: Drill, directory: Path, *, drawn: bool, silent: bool) -> Exit:
    place = _ready(drill, silent=silent)
    cases = full_round(simulated_fleet()) if drill.simulated else full_round(Home(place / "fleet.toml").load())
    this = _this_round(drill, directory, cases, drawn=drawn, silent=silent)
    drill = replace(drill, seed=this.about["seed"], round=this.id)
    ended: list[Exit] = []
    for number, case in enumerate(cases, 1):
        report = (directory / case.name).absolute()
        if not judged(report, drill, silent=silent):
            _say(f"{number} of {len(cases)}: {case.name}", silent=silent)
            _run(replace(drill, fault=case.fault, lost=case.lost), report, place)
        ended.append(_outcome(report, silent=silent))
    write_history(directory)
    if set(ended) <= {Exit.DONE, Exit.MISSED}:
        this.finished().keep(directory)
    _say(f"{ended.count(Exit.DONE)} of {len(ended)} met. Trend: {directory / 'history.html'}", silent=silent)
    if len(this.codes) > 1:
        _say(f"Not all of one code: {' and '.join(this.codes)}; each report names its own.", silent=silent)
    return next(status for status in WORST_FIRST if status in ended)


def _this_round(drill: Drill, directory: Path, cases: Sequence[Case], *, drawn: bool, silent: bool) -> Round:
    """The round that was interrupted here, where it is the one that is asked for; else a new one, in an empty place."""
    there, code = round_in(directory) or _unnamed(drill, directory, cases), running_code()
    about = _about(drill)
    if there and drawn:
        about["seed"] = there.about["seed"]
    if there and there.about == about and not there.finished_at:
        _say(f"Round {there.id} of {there.begun_at} goes on, with seed {about['seed']}.", silent=silent)
        this = replace(there, codes=tuple(dict.fromkeys((*there.codes, code))))
        if there.codes[-1] != code:
            _say(f"  Its last drills were of code {there.codes[-1]}, the next are of {code}.", silent=silent)
    else:
        this = new_round({**about, "seed": drill.seed}, code)
        if there or any((directory / case.name).exists() for case in cases):
            _make_room(directory, there, cases, silent=silent)
        _say(f"Round {this.id} begins, with seed {drill.seed} and code {code}.", silent=silent)
    this.keep(directory)
    return this


def _make_room(directory: Path, there: Round | None, cases: Sequence[Case], *, silent: bool) -> None:
    place = move_away(directory, there.id if there else UNNAMED, [case.name for case in cases])
    ended = f"ended {there.finished_at}" if there and there.finished_at else "did not end"
    what = f"The round that began {there.begun_at} and {ended}" if there else "What no round is known of"
    _say(f"{what} is not this one, and lies in {place} now.", silent=silent)
    if there and not there.finished_at:
        _say(f"  To go on with that one: --report {place}, with its own options.", silent=silent)


def _unnamed(drill: Drill, directory: Path, cases: Sequence[Case]) -> Round | None:
    """A round that was begun by a toolkit which noted none, of this seed and kind, and that is not through."""
    this = replace(drill, round=UNNAMED)
    through = [judged((directory / case.name).absolute(), this, silent=True) for case in cases]
    if all(through) or not any(through):
        return None
    return Round(UNNAMED, _about(drill), "an unknown day", ("that no journal names",))


def keep_lab(drill: Drill, place: Path, *, silent: bool) -> Exit:
    """Make a lab, fill it, and set it aside."""
    lab = Lab(LAB.absolute())
    with Progress.for_people(silent=silent) as progress:
        with progress.stage("lab", 12):
            lab.up(progress.say, tls=drill.tls)
        try:
            home = Home(lab.fleet_file)
            prepare_material(lab.directory / "material", drill.size)
            fleet = as_drilled(home.load(), drill)
            log = JournalFile(lab.directory / "prepared.jsonl")
            with real_world(home, fleet, log) as (world, users):
                prepared = prepare(world, fleet, users, drill, progress.watch)
            with progress.stage("set aside", 10):
                lab.set_aside(place, {**_kind(drill), "prepared": prepared})
        finally:
            with progress.stage("teardown", 5):
                lab.down()
    return Exit.DONE


def prepared_for(drill: Drill, place: Path) -> dict[str, int]:
    """What the lab that was set aside was filled with; UsageError where it is for another kind of drill."""
    said = aside.about(place)
    if other := {key: said.get(key) for key, value in _kind(drill).items() if said.get(key, False) != value}:
        raise UsageError(
            f"The lab in {place} is for {', '.join(f'{k} {v}' for k, v in other.items())}.",
            f"This drill wants {', '.join(f'{k} {v}' for k, v in _kind(drill).items() if k in other)}.",
            "Set another one aside, or leave --from out.",
        )
    prepared: dict[str, int] = said["prepared"]
    return prepared


def as_drilled(fleet: Fleet, drill: Drill) -> Fleet:
    """The fleet as the drill wants it."""
    durability: Durability = "quorum" if drill.durability == "quorum" else "async"
    drilled = replace(fleet, replication=replace(fleet.replication, durability=durability))
    return standing_by(drilled, drill)


def round_folder(drill: Drill) -> Path:
    """Where a round's reports go unless somebody says: one folder for each kind, so that none answers for another."""
    return Path("reports") / "-".join(["all", _kind_name(drill), *(["simulated"] if drill.simulated else [])])


def _kind(drill: Drill) -> dict[str, Any]:
    """What a filled lab depends on."""
    return {**_options(drill), "tls": drill.tls}


def _about(drill: Drill) -> dict[str, Any]:
    """What makes two rounds one: with any of it another, it is another round."""
    return {**_kind(drill), "simulated": drill.simulated, "newcomers": drill.newcomers, "seed": drill.seed}


def _kind_name(drill: Drill) -> str:
    return "-".join([*_options(drill).values(), *(["tls"] if drill.tls else [])])


def _options(drill: Drill) -> dict[str, str]:
    return {"size": str(drill.size), "standby": drill.standby, "durability": str(drill.durability)}


def _ready(drill: Drill, *, silent: bool) -> Path:
    """The filled lab: the one of an earlier try, or a new one."""
    place = ASIDE.absolute() / _kind_name(drill)
    if not drill.simulated and not (place / aside.ABOUT).exists():
        done = _resilience("drill", *_words(drill), "--set-aside", str(place), *(["--json"] if silent else []))
        if done:
            raise ResilienceError(
                "No lab could be filled for the round.",
                f"`drill --set-aside {place}` ended with exit status {done}; what it said is above.",
                "Mend what it names, and run the same command again.",
            )
    return place


def _run(drill: Drill, report: Path, place: Path) -> None:
    """One drill. What is there of an earlier try is moved away first."""
    if report.exists():
        report.rename(free(report))
    words = ["--fault", drill.fault, "--report", str(report), "--json"]
    words += ["--round", drill.round, *(word for vendor in drill.lost for word in ("--lost", vendor))]
    words += ["--simulate"] if drill.simulated else ["--from", str(place)]
    _resilience("drill", *_words(drill), *words)


def _words(drill: Drill) -> list[str]:
    kind = [word for key, value in _options(drill).items() for word in (f"--{key}", value)]
    return [*kind, *(["--tls"] if drill.tls else []), "--seed", str(drill.seed), "--newcomers", str(drill.newcomers)]


def _resilience(*words: str) -> int:
    """A command of ours in a process of its own: one that entered a lab never comes out of it."""
    program = [sys.executable, "-c", "from resilience.cli import main; main()"]
    with subprocess.Popen([*program, *words], stdout=subprocess.DEVNULL) as running:
        try:
            return running.wait()
        except KeyboardInterrupt:
            running.terminate()
            running.wait()
            raise


def judged(report: Path, drill: Drill, *, silent: bool) -> bool:
    """Whether a drill of this round met or missed its promise; one that could prove neither, or of another round, did not."""
    try:
        known = bool(json.loads((report / "verdict.json").read_text())["verdict"] != "unknown")
    except (OSError, ValueError):
        return False
    other = _of_another_round(report, drill) if known else ""
    if other:
        _say(f"  {report.name}: what is there is {other}, and does not count for this round", silent=silent)
    return known and not other


def _of_another_round(report: Path, drill: Drill) -> str:
    """How the drill that was judged there differs from those of this round, by its own journal; empty where it does not."""
    started = [event for event in JournalFile(report / "journal.jsonl").read() if event.kind == "drill-started"]
    if not started:
        return "of a kind that no journal tells"
    said = {"tls": False, "simulated": False, **started[0].data}
    said["round"] = said.get("round") or UNNAMED
    wanted = {**_about(drill), "round": drill.round}
    return ", ".join(f"of {key} {said.get(key)}" for key, value in wanted.items() if said.get(key) != value)


def _outcome(report: Path, *, silent: bool) -> Exit:
    """The exit status that this drill's verdict stands for; an error where it left none."""
    try:
        verdict = json.loads((report / "verdict.json").read_text())
    except OSError:
        _say(f"  {report.name}: no verdict; run the same command again", silent=silent)
        return Exit.ERROR
    _say(f"  {report.name}: {verdict['verdict']} {_reason(verdict['why'])}", silent=silent)
    return {"met": Exit.DONE, "missed": Exit.MISSED, "unknown": Exit.UNKNOWN}[verdict["verdict"]]


def _reason(why: Sequence[str]) -> str:
    return f"({why[0]})" if why else ""


def _say(line: str, *, silent: bool) -> None:
    if not silent:
        sys.stderr.write(line + "\n")
