"""Postgres as a standby: it replays WAL that was assembled on this host, and knows no primary."""

from __future__ import annotations

import fcntl
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import structlog

from resilience.errors import Locked, ShortRecovery
from resilience.replication import control, sessions, settings
from resilience.replication.base import WAL, owner_of
from resilience.replication.config import Config, write_atomic
from resilience.replication.segments import Segments

T = TypeVar("T")
BEGIN, END = "# resilience: recovery begins", "# resilience: recovery ends"
STARVED = 10.0
"""Seconds for which Postgres may ask for one and the same segment before it is consistent."""
POLL = 0.01
LETS_IN = ("ready", "standby")
"""What Postgres notes of itself, in its own file, once it takes connections."""
RETRY = "1s"
IN_PLACE = ["wal_recycle = off"]
"""Of a copy whose WAL is all in `pg_wal`: else an old segment might come to stand where one is missing, and be judged."""
SYNC = "recovery_init_sync_method = syncfs"
"""What Postgres syncs before it replays, by one call instead of one for each of a thousand files (since Linux 5.8 that tells of errors as well)."""
NEEDED = {
    "max_connections": "max_connections",
    "max_worker_processes": "max_worker_processes",
    "max_wal_senders": "max_wal_senders",
    "max_prepared_transactions": "max_prepared_xacts",
    "max_locks_per_transaction": "max_locks_per_xact",
}
"""Setting → what pg_controldata calls it."""

log = structlog.get_logger()


def prepare(config: Config, segments: Segments, target: Sequence[str] = (), timeline: str = "latest") -> None:
    """Tell Postgres to read the assembled WAL and to wait at its end; idempotent."""
    pg = config.paths.pg
    write_atomic(pg / "standby.signal", b"", 0o600, owner_of(config))
    lines = [
        BEGIN,
        *(IN_PLACE if segments.folder == pg / WAL else _fed_from(config, segments.folder)),
        f"recovery_target_timeline = '{timeline}'",
        "primary_conninfo = ''",
        "primary_slot_name = ''",
        "hot_standby = on",
        f"wal_retrieve_retry_interval = '{RETRY}'",
        "synchronous_standby_names = ''",
        "archive_mode = off",
        SYNC,
        *(target or ["recovery_target = ''"]),
        *(f"{name} = {value}" for name, value in needed(config).items()),
        END,
    ]
    _set(config, lines)


def _set(config: Config, lines: Sequence[str]) -> None:
    """Our block of settings, after the site's own: at once, since Postgres may start, or we may be killed, meanwhile."""
    auto = config.paths.pg / "postgresql.auto.conf"
    text = settings.kept(config.postgres.bin, without_block(auto)) + "".join(f"{line}\n" for line in lines)
    write_atomic(auto, text.encode(), 0o600, owner_of(config))


def _fed_from(config: Config, folder: Path) -> list[str]:
    """Settings by which Postgres takes segments that still grow from another folder, and removes what it needs no more."""
    return [
        f"restore_command = '{_restore_command(folder)}'",
        f"archive_cleanup_command = '{config.postgres.bin / 'pg_archivecleanup'} {folder} %r'",
    ]


def _restore_command(folder: Path) -> str:
    """Copies a segment as far as it has grown: 1 says that there is nothing new, 126 stops recovery instead of ending it.

    What Postgres holds already is not written again, and what is empty stays a hole in the file.
    """
    return f"s={folder}/%f; test -f $s || exit 1; cmp -s $s pg_wal/%f && exit 1; cp --sparse=always $s %p || exit 126"


def needed(config: Config) -> dict[str, int]:
    """Settings that a standby must not have lower than its primary had, by the copy's own control file."""
    values = control.read(config)
    return {name: int(values[f"{shown} setting"]) for name, shown in NEEDED.items()}


def outgrown(config: Config) -> bool:
    """Whether replay pauses because the primary's settings rose past those that Postgres runs with here."""
    with suppress(psycopg.Error), sessions.superuser(config.postgres.dsn, timeout=1) as db:
        paused = one(db, "SELECT pg_is_wal_replay_paused()")
        return bool(paused and any(int(one(db, f"SHOW {name}")) < value for name, value in needed(config).items()))
    return False


def raise_settings(config: Config, segments: Segments) -> None:
    """Where the primary's settings rose: start again with settings that are as high."""
    if outgrown(config):
        prepare(config, segments)
        subprocess.run(config.postgres.stop, check=False, capture_output=True)


def with_settings_as_high(config: Config, ready: Callable[[], None], replays: Callable[[], T]) -> T:
    """What `replays` gives; where Postgres ends or pauses because the primary's settings rose, it is made `ready` and started anew."""
    while True:
        before = needed(config)
        try:
            return replays()
        except ShortRecovery:
            ended = not alive(config) and needed(config) != before
            if not ended and not outgrown(config):
                raise
        log.info("the primary's settings rose", needed=needed(config))
        subprocess.run(config.postgres.stop, check=False, capture_output=True)
        ready()


@contextmanager
def only_follower(config: Config) -> Iterator[None]:
    """Nobody else feeds this host's standby meanwhile; Locked where somebody does."""
    config.paths.run.mkdir(parents=True, exist_ok=True)
    with (config.paths.run / "follow.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(
                "follow is at work on this host.",
                "Two who write one standby's WAL would spoil it.",
                "Stop it first: systemctl stop resilience-follow.",
            ) from None
        yield


def poke(config: Config) -> None:
    """Wake the process that replays, so that it looks for new WAL at once; it would by itself after RETRY."""
    pid = _startup_pid(config.paths.pg)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGHUP)


def without_block(path: Path) -> str:
    """What the copied site had set for good, but for what `prepare` put there; nothing where Postgres' user made a link of it."""
    text = settings.read(path)
    if BEGIN in text:
        head, _, rest = text.partition(BEGIN)
        text = head + rest.partition(END + "\n")[2]
    return text


def own(config: Config, path: Path) -> None:
    """Give a file to Postgres' user."""
    user = pwd.getpwnam(config.postgres.user)
    os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


@contextmanager
def connected(config: Config) -> Iterator[psycopg.Connection[Any]]:
    """Start Postgres unless it runs; a connection, as soon as the copy is consistent and lets one in."""
    starting = None if alive(config) else begin(config.postgres.start)
    said, since = "", time.monotonic()
    while True:
        if _lets_in(config.paths.pg):
            with suppress(psycopg.OperationalError):
                db = sessions.superuser(config.postgres.dsn, timeout=5)
                break
        _refuse_failed(starting, config)
        if (says := startup_says(config.paths.pg)) != said:
            said, since = says, time.monotonic()
        if "waiting for" in said and time.monotonic() > since + STARVED:
            raise ShortRecovery(
                f"Postgres never became consistent: {said}.",
                "The WAL on this host does not reach as far as the snapshot needs.",
                "Nothing was promoted. Restore again.",
            )
        time.sleep(POLL)
    with db:
        yield db
    if starting is not None:
        starting.wait()


def _lets_in(pg: Path) -> bool:
    """Whether a server says that it takes connections: to try costs it a process each time, while it has other things to do."""
    try:
        return (pg / "postmaster.pid").read_text().splitlines()[7].strip() in LETS_IN
    except (OSError, IndexError):
        return False


def begin(argv: list[str]) -> subprocess.Popen[bytes]:
    """The start command, not waited for: it may return only once Postgres is consistent."""
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def _refuse_failed(starting: subprocess.Popen[bytes] | None, config: Config) -> None:
    """ShortRecovery when the start command has ended and Postgres does not run."""
    if (starting is None or starting.poll() is not None) and not alive(config):
        raise ShortRecovery(
            "Postgres did not come up from the copy.",
            f"{' '.join(config.postgres.start)} ended, and nothing runs in {config.paths.pg}.",
            "Nothing was promoted. Look at Postgres' own log on this host.",
        )


def alive(config: Config) -> bool:
    """Whether a server runs on the data directory."""
    try:
        pid = int((config.paths.pg / "postmaster.pid").read_text().split()[0])
        return "postgres" in Path(f"/proc/{pid}/comm").read_text()
    except (OSError, ValueError, IndexError):
        return False


def startup_says(pg: Path) -> str:
    """The title of Postgres' startup process: which segment it recovers, or waits for."""
    found = _startup(pg)
    return found[1] if found else ""


def _startup_pid(pg: Path) -> int | None:
    found = _startup(pg)
    return found[0] if found else None


def _startup(pg: Path) -> tuple[int, str] | None:
    """Number and title of the process that replays; None where none does."""
    try:
        pid = (pg / "postmaster.pid").read_text().split()[0]
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            title = Path(f"/proc/{child}/cmdline").read_text().strip("\0 ")
            if "startup" in title:
                return int(child), title
    except (OSError, IndexError):
        pass
    return None


def one(db: psycopg.Connection[Any], query: str) -> Any:
    """The first value that a query gives."""
    row = db.execute(query).fetchone()
    return row[0] if row else None


def withdraw(config: Config) -> None:
    """Take the recovery settings and the signal back; what is left is an ordinary primary, also after its next start."""
    (config.paths.pg / "standby.signal").unlink(missing_ok=True)
    _set(config, ())


def settle(config: Config, db: psycopg.Connection[Any]) -> None:
    """The same while it runs."""
    withdraw(config)
    db.execute("SELECT pg_reload_conf()")
