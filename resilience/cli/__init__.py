"""The command line: one file a command, and the one error boundary.

Exit status, everywhere: 0 done or met, 1 error, 2 usage, 3 promise missed, 4 unknown,
5 refused (a hazard was not accepted), 130 interrupted.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import stamina
import structlog
import typer

from resilience import caches
from resilience.cli.commands import Commands
from resilience.cli.context import Context, say_error
from resilience.errors import ResilienceError

REFUSED = frozenset(
    {
        errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EIO, errno.EISDIR, errno.EMFILE, errno.ENOENT,
        errno.ENOSPC, errno.ENOTDIR, errno.ENOTEMPTY, errno.EPERM, errno.EROFS, errno.ETXTBSY, errno.ELOOP, errno.ENAMETOOLONG
    }
)  # fmt: skip
"""What this machine answers where a file or a folder is not to be had."""
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
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))  # an answer is all that goes out
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGHUP, _terminated)
    caches.use_programs()
    try:
        _run()
    except ResilienceError as error:
        say_error(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(1)  # whoever read it went away, and wants no more
    except OSError as error:
        if error.errno not in REFUSED:  # a fault of ours, or of a network: all that is known of it is shown
            raise
        if error.filename is None:  # the output may be what is full
            _drop_output()
        told = _of_this_machine(error)
        say_error(told)
        sys.exit(told.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. What was under way is undone or can be run again.\n")
        sys.exit(130)
    finally:
        _let_go_of_output()


def _run() -> None:
    """The command, and what it printed is out."""
    try:
        app(standalone_mode=True)
    except SystemExit:
        if sys.stdout is not None:  # nobody gave us one
            sys.stdout.flush()
        raise


def _of_this_machine(error: OSError) -> ResilienceError:
    """What this machine could not do, with the path where the system names one: a full disk, a folder that is not ours to write."""
    where = f"{error.filename}: " if error.filename else ""
    return ResilienceError(
        f"{where}{error.strerror or str(error) or type(error).__name__}.",
        "This machine refused it."
        if where
        else "This machine refused to read or write; of the place it named none: standard output, maybe.",
        "See to room and rights there (df, ls -l), then type the same line again.",
    )


def _let_go_of_output() -> None:
    """What nobody takes is dropped: Python would try it again at its end, and change the exit status."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        _drop_output()


def _drop_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
