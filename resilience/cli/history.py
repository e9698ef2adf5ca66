"""`resilience history`: how drills went over time."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from resilience.adapters.history_file import HistoryFile
from resilience.cli.context import say_json
from resilience.cli.outcome import HISTORY
from resilience.errors import UsageError
from resilience.render.history import history_html, trends

DEFAULT = Path("reports")
PAGE = "history.html"


def run(
    directory: Annotated[Path, typer.Argument(help="The folder that reports are in.")] = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show the trend of RTO, RPO and each phase; a picture goes to history.html beside the reports.

    Exit status: 0 shown, 1 error, 2 usage.
    """
    if directory != DEFAULT and not directory.is_dir():
        raise UsageError(
            f"There is no folder {directory}.",
            "Drills are remembered beside their reports.",
            "Name a folder of reports.",
        )
    entries = HistoryFile(directory / HISTORY).read()
    if as_json:
        say_json({"entries": entries, "trends": trends(entries)})
    else:
        for row in trends(entries):
            rto = "not known" if row["rto_s"] is None else f"{row['rto_s']:.1f} s"
            typer.echo(f"{row['kind']}: {row['met']} of {row['drills']} met, newest RTO {rto}")
        typer.echo(f"{len(entries)} drills.")
    if directory.is_dir():
        _draw(directory, entries, as_json=as_json)


def _draw(directory: Path, entries: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """The picture, where it can be written: what it shows was said already."""
    page = directory / PAGE
    try:
        page.write_text(history_html(entries))
    except OSError as error:
        sys.stderr.write(f"The picture was not written: {page}: {error.strerror}.\n")
    else:
        if not as_json:
            typer.echo(f"Trend: {page}")


def write_history(directory: Path) -> None:
    """The page beside the reports."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / PAGE).write_text(history_html(HistoryFile(directory / HISTORY).read()))
