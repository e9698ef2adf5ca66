"""`python -m resilience.plaza COMMAND`: the server, and what is done beside it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg

from resilience.plaza import commands, inuse
from resilience.plaza.errors import PlazaError
from resilience.plaza.settings import Settings, from_env, read_env_file

Command = Callable[[Settings, argparse.Namespace], dict[str, Any] | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; facts go to stdout as JSON, problems to stderr with what to do next."""
    options = _parser().parse_args(arguments)
    if options.when_told and not _told():
        return 1
    try:
        env = dict(os.environ)
        if options.env_file is not None:
            env = {**read_env_file(options.env_file), **env}
        facts = COMMANDS[options.command](from_env(env), options)
    except PlazaError as error:
        return _complain(error)
    except psycopg.Error as error:
        from resilience.plaza.erasure import explain

        return _complain(explain(error))
    except OSError as error:
        return _complain(PlazaError("That did not work", str(error), "Check the path."))
    if facts is not None:
        print(json.dumps(facts))
    return 0


def _told() -> bool:
    """Load what commands take, then wait for a line; False where whoever was to send it went away."""
    for part in ("erasure", "facts", "keyrings", "ledger", "migrations", "store"):
        import_module(f"resilience.plaza.{part}")
    return bool(sys.stdin.readline())


def serve(settings: Settings, options: argparse.Namespace) -> None:
    """Serve until SIGTERM; requests that run may finish."""
    import uvicorn

    from resilience.plaza.app import build
    from resilience.plaza.logs import configure

    configure()
    uvicorn.run(
        build(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips="127.0.0.1",
        timeout_graceful_shutdown=5,
    )


def migrate(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Bring the database to the newest schema."""
    from resilience.plaza import migrations

    return {"revision": migrations.migrate(settings.database_url)}


def replay_ledger(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Unpack keyrings that are here; verify the ledger and apply it to the database and the pictures that are here."""
    from resilience.plaza import keyrings
    from resilience.plaza.erasure import Eraser
    from resilience.plaza.ledger import Ledger
    from resilience.plaza.store import Store

    ledger = Ledger.of(settings)
    store = Store(settings.media_dir, settings.outbox_dir)
    lacking = keyrings.unpack(settings.database_url, store)
    done = asdict(Eraser(settings.database_url, ledger, store).replay())
    return {**done, "keys_absent": keyrings.still_wanted(settings.database_url, lacking)}


def facts(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Count and check what is here."""
    from resilience.plaza.facts import gather
    from resilience.plaza.ledger import Ledger
    from resilience.plaza.store import Store

    ledger = Ledger.of(settings)
    return gather(settings.database_url, ledger, Store(settings.media_dir, settings.outbox_dir))


def make_moderator(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Let an account moderate."""
    sql = "UPDATE accounts SET role = 'moderator' WHERE lower(username) = lower(%s) RETURNING id, username"
    with psycopg.connect(settings.database_url, connect_timeout=5) as conn:
        row = conn.execute(sql, (options.name,)).fetchone()
    if row is None:
        what = f"'{options.name}' was not made a moderator"
        raise PlazaError(what, "there is no such account", "Register it first.")
    return {"id": str(row[0]), "name": row[1], "role": "moderator"}


def take_down(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Take posts down for good, whether or not the server runs."""
    from resilience.plaza.erasure import Eraser, takedown
    from resilience.plaza.errors import Refused
    from resilience.plaza.ledger import Ledger
    from resilience.plaza.store import Store

    ledger = Ledger.of(settings)
    store = Store(settings.media_dir, settings.outbox_dir)
    eraser = Eraser(settings.database_url, ledger, store)
    if options.hold:
        commands.hold(settings, store, options.posts)
    taken = []
    for post in options.posts:
        try:
            taken.append(eraser.record(takedown(post, options.reason, "operator")))
        except Refused:
            continue  # it is gone already
    return {"taken_down": len(taken), "entries": taken}


def queue(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """See whether a moderator can reach the queue."""
    from resilience.plaza.reach import look

    return look(settings)


def bulk_load(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Fill an empty database with many people, posts and pictures."""
    from resilience.plaza import bulk
    from resilience.plaza.store import Store

    store = Store(settings.media_dir, settings.outbox_dir)
    return bulk.load(settings.database_url, store, settings.argon2, bulk.Size.of(options))


COMMANDS: dict[str, Command] = {
    "serve": serve,
    "migrate": migrate,
    "replay-ledger": replay_ledger,
    "facts": facts,
    "make-moderator": make_moderator,
    "queue": queue,
    "take-down": take_down,
    "bulk-load": bulk_load,
    "named-pictures": inuse.named_pictures,
    "ship-pictures": inuse.ship_pictures,
    "add-notice": commands.add_notice,
    "show-notice": commands.show_notice,
    "export-evidence": commands.export_evidence,
    "release-hold": commands.release_hold,
    "renew-key": commands.renew_key,
    "set-mode": commands.set_mode,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="plaza", description=__doc__)
    parser.add_argument("--env-file", type=Path, help="settings, where the environment has none")
    parser.add_argument("--when-told", action="store_true", help="load, and begin when a line comes in")
    parts = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        parts.add_parser(name, help=(command.__doc__ or "").splitlines()[0])
    parts.choices["make-moderator"].add_argument("name", help="username")
    down = parts.choices["take-down"]
    down.add_argument("--reason", required=True, help="what the ledger is to say")
    down.add_argument("--hold", action="store_true", help="seal a copy of each for a court before (HOLD_RECIPIENT)")
    down.add_argument("posts", nargs="+", type=int, help="ids of posts")
    commands.add_arguments(parts.choices)
    load = parts.choices["bulk-load"]
    load.add_argument("--users", type=int, required=True)
    load.add_argument("--posts", type=int, required=True)
    load.add_argument("--pictures", type=Path, help="directory of pictures to use and to crop")
    load.add_argument("--picture-count", type=int, default=0, help="how many to make of them")
    load.add_argument("--as-they-are", action="store_true", help="take each picture once, uncropped")
    load.add_argument("--texts", type=Path, required=True, help="texts, one after each line of '%%'")
    load.add_argument("--seed", type=int, default=1)
    return parser


def _complain(error: PlazaError) -> int:
    print(f"plaza: {error.what}.\n  why: {error.why}\n  next: {error.next_step}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
