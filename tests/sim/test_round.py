"""A round of drills: what was judged is not run again, what was killed half-way or could prove nothing is, and its trend is drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from resilience import cli
from resilience.adapters.journal_file import JournalFile
from resilience.cli import rounds
from resilience.cli.alone import alone
from resilience.cli.round_file import running_code
from resilience.decide.cases import Case
from resilience.engine.drill import Drill
from resilience.errors import Exit, Locked, UsageError
from resilience.lab import aside
from resilience.model import Event

CASES = (Case("terminate", ("acorn",)), Case("terminate", ("elm",)))
ABOUT = {"size": "small", "standby": "cold", "durability": "async", "tls": False, "simulated": True, "newcomers": 2}
"""What a journal says of a drill of the kind that these rounds are of."""


def met(report: Path, **about: Any) -> None:
    """What a drill of some kind left: that it met its promise, and a journal that says which kind it was of."""
    report.mkdir(parents=True)
    (report / "verdict.json").write_text(json.dumps({"verdict": "met", "why": []}))
    JournalFile(report / "journal.jsonl").append(Event(1.0, "drill-started", {**ABOUT, "seed": 3, **about}))


def met_after_all(report: Path) -> None:
    """As if it had not been simulated: such a drill never meets anything."""
    verdict = json.loads((report / "verdict.json").read_text())
    (report / "verdict.json").write_text(json.dumps({**verdict, "verdict": "met"}))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where rounds of two drills are run, with nothing there yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rounds, "full_round", lambda _fleet: CASES)
    return tmp_path / "all"


@pytest.fixture
def quick(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with drills in this process: a round's own processes are tried once, by what is killed."""

    def here(*words: str) -> int:
        return CliRunner().invoke(cli.app, list(words)).exit_code

    monkeypatch.setattr(rounds, "_resilience", here)
    return folder


def drill_all(seed: int, *, newcomers: int = 2, drawn: bool = False) -> Exit:
    """What `drill --all --simulate --report all` does."""
    drill = Drill(seed=seed, newcomers=newcomers, simulated=True)
    return rounds.run_round(drill, Path("all"), drawn=drawn, silent=False)


def seeds_and_rounds(folder: Path) -> set[tuple[int, str]]:
    """Of each drill that counts there."""
    started = [JournalFile(folder / case.name / "journal.jsonl").read()[0].data for case in CASES]
    return {(data["seed"], data["round"]) for data in started}


def test_a_round_goes_on_where_it_was_killed(folder: Path) -> None:
    """What was judged stays as it is; what could prove nothing, or was killed half-way, is moved away and run again."""
    assert drill_all(3) == Exit.UNKNOWN
    done, killed = folder / "terminate-acorn", folder / "terminate-elm"
    met_after_all(done)
    before = (done / "journal.jsonl").read_bytes()
    (killed / "verdict.json").unlink()
    (killed / "journal.jsonl").write_text("half a line")
    assert drill_all(5, drawn=True) == Exit.UNKNOWN
    assert (done / "journal.jsonl").read_bytes() == before
    assert (folder / "terminate-elm.before-1/journal.jsonl").read_text() == "half a line"
    verdict = json.loads((killed / "verdict.json").read_text())
    assert (verdict["fault"], verdict["rto"]["measured_s"] is not None) == ("terminate", True)
    ((seed, _),) = seeds_and_rounds(folder)
    assert seed == 3, "nobody said a seed, so the round keeps its own"
    assert "terminate elm" in (folder / "history.html").read_text()


def test_a_finished_round_answers_for_no_other(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Typed again, a round that is through begins anew, in an empty place; what the last one left stays, and the trend goes on."""
    drill_all(3)
    for case in CASES:
        met_after_all(quick / case.name)
    assert drill_all(3) == Exit.DONE, "all met, so there is nothing left to drill"
    ((_, first),) = seeds_and_rounds(quick)
    assert drill_all(3) == Exit.UNKNOWN, "a new round is drilled, and simulated drills prove nothing"
    ((seed, second),) = seeds_and_rounds(quick)
    assert (seed, first != second) == (3, True)
    assert seeds_and_rounds(quick / "earlier" / first) == {(3, first)}
    assert len((quick / "history.jsonl").read_text().splitlines()) == 4
    assert f"and lies in all/earlier/{first} now" in capsys.readouterr().err


def test_another_seed_or_crowd_is_another_round(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a round with another seed, or with more people, met is none of this one; it can be gone on with where it lies."""
    drill_all(3)
    ((_, first),) = seeds_and_rounds(quick)
    met_after_all(quick / "terminate-acorn")
    assert drill_all(4, newcomers=9) == Exit.UNKNOWN
    ((seed, second),) = seeds_and_rounds(quick)
    assert (seed, first != second) == (4, True)
    assert f"To go on with that one: --report all/earlier/{first}" in capsys.readouterr().err
    old = quick / "earlier" / first
    rounds.run_round(Drill(seed=3, simulated=True), old, drawn=False, silent=True)
    assert seeds_and_rounds(old) == {(3, first)}
    assert not (old / "terminate-acorn.before-1").exists()


def test_code_that_changed_is_said(
    quick: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A round goes on with the code of the day, and says so when it does and when it ends."""
    monkeypatch.setattr(rounds, "running_code", lambda: "0.1.0 of-yesterday")
    drill_all(3)
    met_after_all(quick / "terminate-acorn")
    capsys.readouterr()
    monkeypatch.setattr(rounds, "running_code", running_code)
    drill_all(3)
    said = capsys.readouterr().err
    code = JournalFile(quick / "terminate-elm/journal.jsonl").read()[0].data["code"]
    assert f"Its last drills were of code 0.1.0 of-yesterday, the next are of {code}." in said
    assert f"Not all of one code: 0.1.0 of-yesterday and {code}" in said


def test_a_round_that_no_id_was_made_for_goes_on(quick: Path) -> None:
    """One that an older toolkit began is gone on with where seed, kind and crowd are the same; a whole one is moved away."""
    met(quick / "terminate-acorn")
    drill_all(3)
    assert not (quick / "earlier").exists()
    assert not (quick / "terminate-acorn.before-1").exists()
    assert json.loads((quick / "terminate-elm/verdict.json").read_text())["verdict"] == "unknown"


def test_a_whole_round_of_another_day_does_not_answer(quick: Path) -> None:
    """All met, in a folder that notes no round: it may be months old, and every drill is run."""
    for case in CASES:
        met(quick / case.name)
    assert drill_all(3) == Exit.UNKNOWN
    assert {path.name for path in (quick / "earlier/unnamed").iterdir()} == {case.name for case in CASES}


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"to": "cedar"}, ""),
        ({"standby": "hot", "size": "medium"}, "of size medium, of standby hot"),
        ({"tls": True}, "of tls True"),
        ({"simulated": False}, "of simulated False"),
        ({"newcomers": 9, "seed": 4}, "of newcomers 9, of seed 4"),
        ({"round": "another"}, "of round another"),
    ],
)
def test_what_makes_a_drill_one_of_another_round(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], about: dict[str, Any], said: str
) -> None:
    """What it was filled with, what stood by, how commits were made, whether it was real, its chances, and its round's id."""
    met(tmp_path / "case", **{"round": "this", **about})
    drill = Drill(simulated=True, seed=3, round="this")
    assert rounds.judged(tmp_path / "case", drill, silent=False) is (not said)
    assert said in capsys.readouterr().err


def test_a_verdict_without_a_journal_does_not_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody can tell which kind of drill met its promise there."""
    met(tmp_path / "case")
    (tmp_path / "case/journal.jsonl").unlink()
    assert not rounds.judged(tmp_path / "case", Drill(simulated=True), silent=False)
    assert "what is there is of a kind that no journal tells" in capsys.readouterr().err


def test_each_kind_of_round_has_a_folder_of_its_own() -> None:
    """Unless somebody says where, reports of no two kinds meet."""
    kinds = {
        Drill(): "all-small-cold-async",
        Drill(durability="quorum", seed=5): "all-small-cold-quorum",
        Drill(standby="hot", tls=True): "all-small-hot-async-tls",
        Drill(size="medium", simulated=True): "all-medium-cold-async-simulated",
    }
    for drill, name in kinds.items():
        assert rounds.round_folder(drill) == Path("reports") / name


def test_a_lab_is_only_for_the_drills_it_was_filled_for(tmp_path: Path) -> None:
    """Another size, standby or durability than it was filled with is refused, and said."""
    about = {"size": "small", "standby": "cold", "durability": "async", "prepared": {"posts": 5}}
    (tmp_path / aside.ABOUT).write_text(json.dumps(about))
    assert rounds.prepared_for(Drill(), tmp_path) == {"posts": 5}
    with pytest.raises(UsageError, match="size small"):
        rounds.prepared_for(Drill(size="medium"), tmp_path)


def test_one_round_at_a_time_in_a_folder(quick: Path) -> None:
    """A second one would move away what the first is at: it is told who is there, and nothing is touched."""
    quick.mkdir()
    with alone(quick / ".lock", at="at this round"), pytest.raises(Locked, match="at this round"):
        drill_all(3)
    assert [path.name for path in quick.iterdir()] == [".lock"]
    assert drill_all(3) == Exit.UNKNOWN, "it has let go"


@pytest.mark.parametrize("option", ["--to", "--lost"])
def test_a_round_loses_what_it_loses(folder: Path, option: str) -> None:
    """What each of its drills loses, and where that goes, is the round's: one that is asked for is refused, not passed over."""
    done = CliRunner().invoke(cli.app, ["drill", "--all", "--simulate", option, "birch", "--report", "all"])
    assert isinstance(done.exception, UsageError)
    assert not folder.exists()
