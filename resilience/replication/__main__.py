"""`python -m resilience.replication COMMAND --config FILE`: one JSON object on stdout, logs on stderr."""

from __future__ import annotations

import argparse
import fcntl
import gc
import importlib
import json
import logging
import os
import select
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
# Hosts lack it. Where it is, structlog loads it for developers' eyes: a quarter of what a command's start takes.

import structlog  # noqa: E402 - as above

from resilience.errors import BrokenChain, Exit, ResilienceError  # noqa: E402 - as above
from resilience.replication import config, disk, vaults  # noqa: E402 - as above

COMMANDS = {
    "ship": "ship",
    "guard": "guard",
    "follow": "follow",
    "snapshot": "snapshot",
    "standby-snapshot": "standby_snapshot",
    "init-repo": "init_repo",
    "restore": "restore",
    "recover": "recover",
    "fetch-ledger": "fetch_ledger",
    "fetch-media": "fetch_media",
    "named": "named",
    "nowhere": "nowhere",
    "status": "status",
    "verify-snapshot": "verify_snapshot",
    "restore-at": "restore_at",
    "point": "point",
    "verify": "verify",
    "verified": "notes",
    "read-back": "read_back",
    "witness": "witness",
    "prune": "prune",
    "removed": "removed",
    "catch-up": "catch_up",
    "caught-up": "catch_up",
}


STDIN = "/dev/stdin"
MORE = {
    "guard": ("config",),
    "init-repo": ("standby",),
    "verify-snapshot": ("vault", "snapshot"),
    "restore-at": ("at", "of"),
    "point": ("at", "of"),
    "verify": ("vault", "at"),
    "verified": ("vault",),
    "read-back": ("vaults", "begin", "at"),
    "prune": ("vault", "proven", "unlabelled", "really"),
    "catch-up": ("vault", "begin", "until"),
    "caught-up": ("vault", "begin", "until"),
    "fetch-media": ("first", "listed", "within"),
}
"""What a command is told beside its configuration."""
ALONE = {
    "snapshot": "database",
    "standby-snapshot": "snapshot",
    "restore": "database",
    "recover": "database",
    "fetch-ledger": "ledger",
    "fetch-media": "media",
}
"""Commands of which a host runs one at a time on the same thing: what a killed caller left behind is waited for."""


def alone(settings: config.Config, thing: str) -> None:
    """Wait for whoever is at work on it on this host, and keep others waiting until this process ends."""
    settings.paths.run.mkdir(parents=True, exist_ok=True)
    handle = os.open(settings.paths.run / f"{thing}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)


def use_the_wait(path: str) -> None:
    """As long as a configuration from standard input has not come, load what is needed once it has."""
    if path != STDIN:
        return
    for load in vaults.loaders():
        if select.select([sys.stdin], [], [], 0)[0]:
            return
        load()
    gc.freeze()  # what was loaded stays to the end: nobody need look through it again


def leave(status: int, *, at_once: bool) -> NoReturn:
    """End at once where nothing is at work any more: to take apart what was loaded costs as much as a small restore."""
    gc.collect()  # a file that held credentials goes with whoever held it open
    sys.stdout.flush()
    sys.stderr.flush()
    if threading.active_count() > 1 and not at_once:
        sys.exit(status)
    os._exit(status)


def set_up_logs() -> None:
    """Structured lines on stderr, with the time."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def explain(error: ResilienceError) -> dict[str, Any]:
    """An error as the caller's machine reads it."""
    told = {"kind": type(error).__name__, "what": error.what, "why": error.why, "next": error.next}
    if isinstance(error, BrokenChain):
        told |= {"missing": error.missing, "good_until": error.good_until}
    return {"error": told}


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status is the error's."""
    parser = argparse.ArgumentParser(prog="python -m resilience.replication", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("--config", required=True, metavar="FILE")
    parser.add_argument("--snapshot", help="verify-snapshot: its id; the newest in the vault where absent")
    parser.add_argument(
        "--proven", nargs="+", metavar="ID", help="prune: snapshots that were verified; the oldest of them is the base"
    )
    parser.add_argument(
        "--unlabelled", nargs="+", metavar="ID", help="prune: copies that were long seen without a label, which go too"
    )
    parser.add_argument("--vault", help="verify-snapshot, verify, verified, prune, catch-up, caught-up: the vault")
    parser.add_argument("--vaults", nargs="+", metavar="V", help="read-back: the vaults that gave it back")
    parser.add_argument(
        "--at",
        metavar="TIME|LSN",
        help="restore-at, verify, point: up to where; all that there is where absent. read-back: when it was taken",
    )
    parser.add_argument(
        "--of", type=int, metavar="EPOCH", help="restore-at, point: whose chain; the newest's where absent"
    )
    parser.add_argument("--really", action="store_true", help="prune: remove, and not only say what would go")
    parser.add_argument("--first", action="store_true", help="fetch-media: what the app wants before anybody is let in")
    parser.add_argument("--listed", action="store_true", help="fetch-media: what vaults list; no row is looked at")
    parser.add_argument("--within", type=float, metavar="SECONDS", help="fetch-media --listed: no longer than that")
    parser.add_argument("--standby", action="store_true", help="init-repo: the repository that standbys fill")
    parser.add_argument(
        "--from",
        dest="begin",
        metavar="LSN",
        help="catch-up, caught-up: where the hole begins; read-back: the snapshot",
    )
    parser.add_argument("--until", metavar="LSN", help="catch-up, caught-up: where it ends")
    args = parser.parse_args(argv)
    set_up_logs()
    try:
        command = importlib.import_module(f"resilience.replication.{COMMANDS[args.command]}")
        use_the_wait(args.config)
        settings = config.load(args.config)
        if args.command in ALONE:
            alone(settings, ALONE[args.command])
        act = command.caught_up if args.command == "caught-up" else command.main
        answer = act(settings, *(getattr(args, name) for name in MORE.get(args.command, ())))
    except ResilienceError as error:
        return _failed(error)
    except OSError as error:
        if error.errno not in disk.FULL:
            raise
        return _failed(disk.full(Path(error.filename or settings.paths.pg)))
    sys.stdout.write(json.dumps(answer) + "\n")
    return int(Exit.DONE)


def _failed(error: ResilienceError) -> int:
    """Tell the caller's machine, and whoever reads the log; the exit status."""
    sys.stdout.write(json.dumps(explain(error)) + "\n")
    sys.stderr.write(f"{error}\n")
    return int(error.exit_code)


if __name__ == "__main__":
    leave(
        main(), at_once=sys.argv[1:2] == ["follow"]
    )  # what it still asks of vaults may hang, and leaves nothing half done
