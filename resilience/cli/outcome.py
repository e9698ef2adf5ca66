"""How a verdict leaves: as files in the report directory, and as an exit status."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from resilience.adapters.history_file import HistoryFile
from resilience.errors import Exit
from resilience.judge import verdict_json
from resilience.judge.history import entry
from resilience.model import Event, Verdict
from resilience.render import report_html

HISTORY = "history.jsonl"


def write_report(directory: Path, events: Sequence[Event], verdict: Verdict) -> None:
    """`verdict.json` and `report.html` beside the journal."""
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / "report.html", report_html(events, verdict))
    _write(directory / "verdict.json", json.dumps(verdict_json(verdict), indent=2) + "\n")


def remember(directory: Path, events: Sequence[Event], verdict: Verdict, kind: str = "drill") -> None:
    """One more line in the history beside the reports."""
    history = HistoryFile(directory.parent / HISTORY)
    history.append(entry(events, verdict, report=directory.name, kind=kind))


def _write(path: Path, text: str) -> None:
    """In one move: nobody reads half a report, not even after a kill."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def exit_for(verdict: Verdict) -> Exit:
    """0 met, 3 missed, 4 unknown."""
    return {"met": Exit.DONE, "missed": Exit.MISSED, "unknown": Exit.UNKNOWN}[verdict.verdict]
