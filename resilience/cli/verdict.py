"""`resilience verdict DIR`: judge an old journal again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resilience.adapters.journal_file import JournalFile
from resilience.cli.context import say_json
from resilience.cli.outcome import exit_for, write_report
from resilience.errors import UsageError
from resilience.judge import judge, verdict_json
from resilience.render import verdict_text


def run(
    report: Annotated[Path, typer.Argument(help="A drill's report directory, or its journal.")],
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Compute the verdict from the journal alone, and write the report anew.

    Exit status: 0 met, 1 error, 2 usage, 3 missed, 4 unknown.
    """
    journal = report / "journal.jsonl" if report.is_dir() else report
    if not journal.is_file():
        raise UsageError(
            f"There is no journal {journal}.", "A verdict is computed from it.", "Name a report directory."
        )
    events = JournalFile(journal).read()
    found = judge(events)
    write_report(journal.parent, events, found)
    say_json(verdict_json(found)) if as_json else typer.echo(verdict_text(found))
    raise typer.Exit(exit_for(found))
