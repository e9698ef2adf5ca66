"""The command line: one file a command, and the one error boundary.

Exit status, everywhere: 0 done or met, 1 error, 2 usage, 3 promise missed, 4 unknown,
5 refused (a hazard was not accepted), 130 interrupted.
"""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import stamina
import typer

from resilience import caches
from resilience.cli.commands import Commands
from resilience.cli.context import Context, say_error
from resilience.errors import ResilienceError

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Keep a social app ready to leave any vendor, and rehearse the leaving.",
    epilog="Exit status: 0 done/met, 1 error, 2 usage, 3 missed, 4 unknown, 5 refused.",
)


@app.callback()
def settings(
    ctx: typer.Context,
    fleet: Annotated[str, typer.Option(help="The fleet file.", metavar="FILE")] = "fleet.toml",
) -> None:
    """Options that every command shares."""
    ctx.obj = Context(fleet)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """A kill is an interrupt: everything under way is undone on the way out."""
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; every error ends here, in three plain lines."""
    stamina.instrumentation.set_on_retry_hooks([])  # progress lines say what is waited for
    logging.getLogger("Record").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGHUP, _terminated)
    caches.use_programs()
    try:
        app(standalone_mode=True)
    except ResilienceError as error:
        say_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. What was under way is undone or can be run again.\n")
        sys.exit(130)
