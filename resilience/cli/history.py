"""`resilience history`: how drills went over time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resilience.adapters.history_file import HistoryFile
from resilience.cli.context import say_json
from resilience.cli.outcome import HISTORY
from resilience.render.history import history_html, trends


def run(
    directory: Annotated[Path, typer.Argument(help="The folder that reports are in.")] = Path("reports"),
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show the trend of RTO, RPO and each phase; a picture goes to history.html beside the reports.

    Exit status: 0 shown, 1 error, 2 usage.
    """
    entries = write_history(directory)
    if as_json:
        say_json({"entries": entries, "trends": trends(entries)})
        return
    for row in trends(entries):
        rto = "not known" if row["rto_s"] is None else f"{row['rto_s']:.1f} s"
        typer.echo(f"{row['kind']}: {row['met']} of {row['drills']} met, newest RTO {rto}")
    typer.echo(f"{len(entries)} drills. Trend: {directory / 'history.html'}")


def write_history(directory: Path) -> list[dict[str, object]]:
    """The page beside the reports, and what it was made of."""
    entries = HistoryFile(directory / HISTORY).read()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "history.html").write_text(history_html(entries))
    return entries
