"""A round of drills: what was judged is not run again, what was killed half-way or could prove nothing is, and its trend is drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from resilience.adapters.journal_file import JournalFile
from resilience.cli import rounds
from resilience.decide.cases import Case
from resilience.engine.drill import Drill
from resilience.errors import Exit, UsageError
from resilience.lab import aside
from resilience.model import Event

CASES = (Case("terminate", ("acorn",)), Case("terminate", ("elm",)))
ABOUT = {"size": "small", "standby": "cold", "durability": "async", "tls": False, "simulated": True}
"""What a journal says of a drill of the kind that these rounds are of."""


def met(report: Path, **about: Any) -> None:
    """What a drill of some kind left: that it met its promise, and a journal that says which kind it was of."""
    report.mkdir(parents=True)
    (report / "verdict.json").write_text(json.dumps({"verdict": "met", "why": []}))
    JournalFile(report / "journal.jsonl").append(Event(1.0, "drill-started", {**ABOUT, **about}))


def test_a_round_goes_on_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has its verdict and stays as it is; what the second left of its report is moved away, not lost."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rounds, "full_round", lambda _fleet: CASES)
    done, killed = tmp_path / "all/terminate-acorn", tmp_path / "all/terminate-elm"
    met(done, seed=2, newcomers=9)
    killed.mkdir()
    (killed / "journal.jsonl").write_text("half a line")
    assert rounds.run_round(Drill(seed=3, simulated=True), Path("all"), silent=True) == Exit.UNKNOWN
    assert {path.name for path in done.iterdir()} == {"verdict.json", "journal.jsonl"}
    assert (tmp_path / "all/terminate-elm.before-1/journal.jsonl").read_text() == "half a line"
    verdict = json.loads((killed / "verdict.json").read_text())
    assert (verdict["fault"], verdict["seed"], verdict["rto"]["measured_s"] is not None) == ("terminate", 3, True)
    assert "terminate elm" in (tmp_path / "all/history.html").read_text()
    rounds.run_round(Drill(seed=4, simulated=True), Path("all"), silent=True)
    again = [
        json.loads((tmp_path / "all" / name / "verdict.json").read_text())
        for name in ("terminate-elm.before-2", "terminate-elm")
    ]
    assert [(drill["verdict"], drill["seed"]) for drill in again] == [("unknown", 3), ("unknown", 4)]


def test_a_round_is_not_answered_by_another_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What drills of another kind met in the same folder is said, moved away whole, and run anew."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rounds, "full_round", lambda _fleet: CASES[:1])
    report = tmp_path / "all/terminate-acorn"
    met(report, durability="quorum")
    assert rounds.run_round(Drill(seed=3, simulated=True), Path("all"), silent=False) == Exit.UNKNOWN
    said = capsys.readouterr().err
    assert "terminate-acorn: what is there is of durability quorum, and does not count for this round" in said
    assert json.loads((report / "verdict.json").read_text())["seed"] == 3
    assert json.loads((tmp_path / "all/terminate-acorn.before-1/verdict.json").read_text())["verdict"] == "met"


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"seed": 99, "newcomers": 9, "to": "cedar"}, ""),
        ({"standby": "hot", "size": "medium"}, "of size medium, of standby hot"),
        ({"tls": True}, "of tls True"),
        ({"simulated": False}, "of simulated False"),
    ],
)
def test_what_makes_a_drill_another_kind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], about: dict[str, Any], said: str
) -> None:
    """What it was filled with, what stood by, how commits were made, and whether it was real; not its chances."""
    met(tmp_path / "case", **about)
    assert rounds.judged(tmp_path / "case", Drill(simulated=True), silent=False) is (not said)
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
