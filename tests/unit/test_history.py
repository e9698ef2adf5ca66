"""The history of drills: what is kept, its trend, and when it is too old."""

from __future__ import annotations

from pathlib import Path

import pytest

from resilience.adapters.history_file import HistoryFile
from resilience.errors import ResilienceError
from resilience.judge import judge
from resilience.judge.history import DAY_S, entry, last_passing, too_old
from resilience.render.history import history_html, trends
from tests.journals import healthy


def kept(at: float, verdict: str = "met", *, simulated: bool = False) -> dict[str, object]:
    """One line of a history."""
    line = entry(healthy(), judge(healthy()), report="one")
    return {**line, "at": at, "verdict": verdict, "simulated": simulated}


def test_a_line_says_what_was_drilled_and_how_it_went() -> None:
    """Fault, vendors, seed, each phase and the loss are all there."""
    line = entry(healthy(), judge(healthy()), report="20260101-terminate")
    assert line["verdict"] == "met"
    assert line["fault"] == "terminate"
    assert line["vendors"] == ["acorn"]
    assert line["rto"]["measured_s"] == pytest.approx(
        sum(line["rto"][f"{p}_s"] for p in ("decide", "provision", "data", "start", "name"))
    )
    assert line["report"] == "20260101-terminate"


def test_only_a_real_drill_that_met_its_promise_counts_as_passing() -> None:
    """Neither a missed nor a simulated one keeps a fleet rehearsed."""
    lines = [kept(10.0), kept(20.0, "missed"), kept(30.0, "unknown", simulated=True)]
    assert last_passing(lines) == 10.0
    assert last_passing(lines[1:]) is None


def test_a_fleet_that_was_not_drilled_for_long_is_told_so() -> None:
    """Past the declared days there is a sentence, within them there is none."""
    lines = [kept(0.0)]
    assert too_old(lines, 6.9 * DAY_S, 7) == ""
    assert "7.1 days old" in too_old(lines, 7.1 * DAY_S, 7)
    assert "No drill or rehearsal has passed yet" in too_old([], 0.0, 7)


def test_the_trend_compares_a_drill_with_the_one_before_of_its_kind() -> None:
    """Newest RTO and its change, by fault and vendors."""
    first, second = kept(1.0), kept(2.0)
    second["rto"] = {**first["rto"], "measured_s": first["rto"]["measured_s"] + 3}  # type: ignore[index,dict-item]
    (row,) = trends([first, second])
    assert (row["drills"], row["met"]) == (2, 2)
    assert row["change_s"] == pytest.approx(3)


def test_the_page_holds_every_drill_and_loads_nothing() -> None:
    """A picture, a table, links to the reports beside it; an empty history is a page as well."""
    page = history_html([kept(1.0), kept(2.0, "missed")], "The last drill that passed is old.")
    assert page.count("<svg") == 1
    assert page.count("one/report.html") == 2
    assert "is old" in page
    assert 'src="http' not in page
    assert "No drill has been run yet" in history_html([])


def test_the_file_keeps_every_line_and_passes_over_a_torn_one(tmp_path: Path) -> None:
    """What was appended is read back; half a line at the end is no line; junk in the middle is told."""
    history = HistoryFile(tmp_path / "reports" / "history.jsonl")
    assert history.read() == []
    history.append({"at": 1.0})
    history.append({"at": 2.0})
    with history.path.open("a") as file:
        file.write('{"at": 3')
    assert [line["at"] for line in history.read()] == [1.0, 2.0]
    history.path.write_text('junk\n{"at": 2.0}\n')
    with pytest.raises(ResilienceError, match=r"history\.jsonl:1"):
        history.read()
