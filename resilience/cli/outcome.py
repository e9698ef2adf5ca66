"""How a verdict leaves: as files in the report directory, and as an exit status."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from resilience.errors import Exit
from resilience.judge import verdict_json
from resilience.model import Event, Verdict
from resilience.render import report_html


def write_report(directory: Path, events: Sequence[Event], verdict: Verdict) -> None:
    """`verdict.json` and `report.html` beside the journal."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(verdict_json(verdict), indent=2)
    (directory / "verdict.json").write_text(text + "\n")
    (directory / "report.html").write_text(report_html(events, verdict))


def exit_for(verdict: Verdict) -> Exit:
    """0 met, 3 missed, 4 unknown."""
    return {"met": Exit.DONE, "missed": Exit.MISSED, "unknown": Exit.UNKNOWN}[verdict.verdict]
