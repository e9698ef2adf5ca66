"""Commits as the WAL has them: each by the number of its transaction, in the order in which they count."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import UTC, datetime
from typing import NamedTuple

from resilience.replication import lsn
from resilience.replication.config import Config

LINE = re.compile(r"tx: +(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), .*desc: COMMIT(?:_PREPARED)? (?:(\d+): )?(\S+ \S+)")
"""A transaction that was prepared is committed by another one, and named after the word."""


ENVIRONMENT = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}


class Commit(NamedTuple):
    """Where a commit's record begins, the low 32 bits of its transaction's number, which is all that the WAL says, and when it was."""

    position: int
    xid: int
    at: float


def between(config: Config, start: int, end: int, timeline: int) -> list[Commit] | None:
    """Commits from one position up to another that is flushed, in their order; None where this WAL can't be read."""
    argv = [str(config.postgres.bin / "pg_waldump"), "--path", str(config.paths.pg / "pg_wal")]
    argv += ["--timeline", str(timeline), "--rmgr", "Transaction", "--start", lsn.show(start), "--end", lsn.show(end)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode and "could not find a valid record" not in done.stderr:
        return None
    return parse(done.stdout)


def parse(said: str) -> list[Commit]:
    """The commits that pg_waldump tells of."""
    found = filter(None, map(LINE.search, said.splitlines()))
    return [Commit(lsn.parse(line[2]), int(line[3] or line[1]), _utc(line[4])) for line in found]


def _utc(said: str) -> float:
    return datetime.fromisoformat(said).replace(tzinfo=UTC).timestamp()
