"""A round of drills: what was judged is not run again, what was killed half-way or could prove nothing is, and its trend is drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resilience.cli import rounds
from resilience.decide.cases import Case
from resilience.engine.drill import Drill
from resilience.errors import Exit, UsageError
from resilience.lab import aside

CASES = (Case("terminate", ("acorn",)), Case("terminate", ("elm",)))


def test_a_round_goes_on_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first has its verdict and stays as it is; what the second left of its report is moved away, not lost."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rounds, "full_round", lambda _fleet: CASES)
    done, killed = tmp_path / "all/terminate-acorn", tmp_path / "all/terminate-elm"
    for folder in (done, killed):
        folder.mkdir(parents=True)
    (done / "verdict.json").write_text(json.dumps({"verdict": "met", "why": []}))
    (killed / "journal.jsonl").write_text("half a line")
    assert rounds.run_round(Drill(seed=3, simulated=True), Path("all"), silent=True) == Exit.UNKNOWN
    assert [path.name for path in done.iterdir()] == ["verdict.json"]
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


def test_a_lab_is_only_for_the_drills_it_was_filled_for(tmp_path: Path) -> None:
    """Another size, standby or durability than it was filled with is refused, and said."""
    about = {"size": "small", "standby": "cold", "durability": "async", "prepared": {"posts": 5}}
    (tmp_path / aside.ABOUT).write_text(json.dumps(about))
    assert rounds.prepared_for(Drill(), tmp_path) == {"posts": 5}
    with pytest.raises(UsageError, match="size small"):
        rounds.prepared_for(Drill(size="medium"), tmp_path)
