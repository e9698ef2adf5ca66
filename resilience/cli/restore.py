"""`resilience restore`: a copy as it was at a moment, beside everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resilience.cli.context import Context, say_json
from resilience.errors import UsageError
from resilience.replication.scratch import Moment


def run(
    ctx: typer.Context,
    into: Annotated[Path, typer.Option(help="A new folder, which Postgres' user may enter.")],
    at: Annotated[str | None, typer.Option(metavar="TIME|LSN", help="Up to where; all there is where absent.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Bring the database back as it was, into a folder on this machine; no site and no vault is changed.

    A copy that would end before that moment is an error, and says until when data is good.
    Exit status: 0 done, 1 error, 2 usage, 5 refused: it would be short.
    """
    context: Context = ctx.obj
    Moment.parse(at)
    folder = into.absolute()
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty.", "Nothing is restored over what is there.", "Name a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with context.world() as (_, world):
        found = world.plane.restore_at(folder, at)
    if as_json:
        say_json(found)
        return
    typer.echo(f"{found['pg']} is the database up to {found['end_lsn']}, from {found['vault']}'s snapshot.")
    typer.echo(f"It took {found['seconds']} s and is stopped. The keys to it are yours: remove it when you are done.")
