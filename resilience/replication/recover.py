"""recover: replay to the end of the chain, and only then promote."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import structlog

from resilience.errors import Refused, ResilienceError, ShortRecovery
from resilience.replication import lsn, writes
from resilience.replication.config import Config
from resilience.replication.courier import switch_point
from resilience.replication.restore import MARKER, mark, marker
from resilience.replication.segments import Segments
from resilience.replication.stream import SLOT
from resilience.replication.tail import refuse_short

BEGIN, END = "# resilience: recovery begins", "# resilience: recovery ends"
STUCK = 1.5
"""Seconds without progress after which a stopped replay is judged."""
STARVED = 10.0
"""Seconds for which Postgres may ask for one and the same segment before it is consistent."""
POLL = 0.05
log = structlog.get_logger()


def main(config: Config) -> dict[str, Any]:
    """Recover and promote, or say again what an earlier run of this epoch found."""
    state = marker(config)
    if state is None or state["state"] == "restoring":
        raise Refused(
            f"{config.paths.pg} holds no finished restore for epoch {config.record.number}.",
            "Recovery starts from what restore leaves.",
            "Run restore first.",
        )
    if state["state"] == "promoted":
        with _connected(config):
            pass
        return dict(state["recovered"])
    merged = state["merged"]
    end, confirmed = lsn.parse(merged["end_lsn"]), lsn.parse(merged["confirmed_lsn"])
    segments = Segments(config.paths.wal / "restored", int(state["segment_size"]), "")
    began = time.monotonic()
    _prepare(config, segments)
    with _connected(config) as db:
        check = _Check(segments, int(merged["timeline"]), end, confirmed)
        if _in_recovery(db):
            replayed = _replay(db, end, check)
            log.info("replayed", position=lsn.show(replayed), seconds=round(time.monotonic() - began, 3))
            _promote(db)
        recovered = _promoted(config, check, merged["end_lsn"])
        _settle(config, db)
    mark(config, "promoted", merged=merged, segment_size=segments.size, recovered=recovered)
    _own(config, config.paths.pg / MARKER)
    for part in ("restored", "objects"):
        shutil.rmtree(config.paths.wal / part, ignore_errors=True)
    log.info("promoted", seconds=round(time.monotonic() - began, 3), **recovered)
    return recovered


class _Check:
    """Judges a position at which replay stands still."""

    def __init__(self, segments: Segments, timeline: int, end: int, confirmed: int) -> None:
        self._segments = segments
        self._timeline = timeline
        self._end = end
        self._confirmed = confirmed

    def __call__(self, replayed: int) -> None:
        """ShortRecovery unless everything whole was replayed."""
        start = lsn.segment_start(max(replayed - 1, 0), self._segments.size)
        wal = self._segments.read(self._timeline, start, min(self._end, start + (64 << 20)))
        refuse_short(replayed, self._end, self._confirmed, wal, start, self._segments.size)


def _prepare(config: Config, segments: Segments) -> None:
    """Tell Postgres to read the assembled WAL and to wait at its end; idempotent."""
    pg = config.paths.pg
    (pg / "standby.signal").touch()
    source = segments.path(1, 0).parent
    # 126 stops recovery instead of ending it; 1 says that there is no such file
    command = f"if [ -f {source}/%f ]; then cp {source}/%f %p || exit 126; else exit 1; fi"
    lines = [
        BEGIN,
        f"restore_command = '{command}'",
        "recovery_target_timeline = 'latest'",
        "recovery_target = ''",
        "primary_conninfo = ''",
        "primary_slot_name = ''",
        "hot_standby = on",
        "wal_retrieve_retry_interval = '100ms'",
        "synchronous_standby_names = ''",
        "archive_mode = off",
        END,
    ]
    auto = pg / "postgresql.auto.conf"
    auto.write_text(_without_block(auto) + "\n".join(lines) + "\n")
    for path in (auto, pg / "standby.signal"):
        _own(config, path)


def _without_block(path: Path) -> str:
    """What the copied site had set for good; not how its writes stood at the moment of the copy."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    text = "".join(line for line in lines if line.partition("=")[0].strip() not in writes.OURS)
    if BEGIN in text:
        head, _, rest = text.partition(BEGIN)
        text = head + rest.partition(END + "\n")[2]
    return text


def _own(config: Config, path: Path) -> None:
    user = pwd.getpwnam(config.postgres.user)
    os.chown(path, user.pw_uid, user.pw_gid)


@contextmanager
def _connected(config: Config) -> Iterator[psycopg.Connection[Any]]:
    """Start Postgres unless it runs; a connection, as soon as the copy is consistent and lets one in."""
    starting = None if alive(config) else _begin(config.postgres.start)
    said, since = "", time.monotonic()
    while True:
        try:
            db = psycopg.connect(config.postgres.dsn, autocommit=True, connect_timeout=5)
            break
        except psycopg.OperationalError as error:
            _refuse_failed(starting, config)
            if (says := startup_says(config.paths.pg)) != said:
                said, since = says, time.monotonic()
            if "waiting for" in said and time.monotonic() > since + STARVED:
                raise ShortRecovery(
                    f"Postgres never became consistent: {said}.",
                    "The WAL on this host does not reach as far as the snapshot needs.",
                    "Nothing was promoted. Restore again.",
                ) from error
            time.sleep(POLL)
    with db:
        yield db
    if starting is not None:
        starting.wait()


def _begin(argv: list[str]) -> subprocess.Popen[bytes]:
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
    try:
        pid = (pg / "postmaster.pid").read_text().split()[0]
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        titles = [Path(f"/proc/{child}/cmdline").read_text().strip("\0 ") for child in children]
    except (OSError, IndexError):
        return ""
    return next((title for title in titles if "startup" in title), "")


def _one(db: psycopg.Connection[Any], query: str) -> Any:
    row = db.execute(query).fetchone()
    return row[0] if row else None


def _in_recovery(db: psycopg.Connection[Any]) -> bool:
    return bool(_one(db, "SELECT pg_is_in_recovery()"))


def _replay(db: psycopg.Connection[Any], end: int, check: _Check) -> int:
    """Wait until replay is through; ShortRecovery when it stands still before that."""
    last, since = -1, time.monotonic()
    while True:
        replayed = lsn.parse(_one(db, "SELECT coalesce(pg_last_wal_replay_lsn(), '0/0')::text"))
        if replayed >= end:
            return replayed
        if replayed != last:
            last, since = replayed, time.monotonic()
        try:
            check(replayed)
        except ShortRecovery:
            if time.monotonic() > since + STUCK:
                raise
        else:
            return replayed
        time.sleep(POLL)


def _promote(db: psycopg.Connection[Any]) -> None:
    """Promote; the slot is made first, so that no WAL after the switch can be removed before ship has it."""
    db.execute(
        "SELECT pg_create_physical_replication_slot(%s, true)"
        " WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)",
        (SLOT, SLOT),
    )
    if not _one(db, "SELECT pg_promote(true, 60)"):
        raise ResilienceError(
            "Postgres was not promoted within 60 s.", "It may still be at it.", "Look at its log, then run this again."
        )


def _promoted(config: Config, check: _Check, end_lsn: str) -> dict[str, Any]:
    """Where the new timeline begins, by its history file; judged like the replay that led there."""
    history = max((config.paths.pg / "pg_wal").glob("*.history"))
    switch = switch_point(history.read_text())
    check(switch)
    return {"switch_lsn": lsn.show(switch), "timeline": int(history.name[:8], 16), "end_lsn": end_lsn}


def _settle(config: Config, db: psycopg.Connection[Any]) -> None:
    """Take the recovery settings back; what is left is an ordinary primary."""
    auto = config.paths.pg / "postgresql.auto.conf"
    auto.write_text(_without_block(auto))
    db.execute("SELECT pg_reload_conf()")
