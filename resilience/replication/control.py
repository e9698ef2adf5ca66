"""What Postgres says: by its control file, whether or not a server runs, and to whoever wants to come in."""

from __future__ import annotations

import os
import subprocess

from psycopg import conninfo, pq

from resilience.replication import lsn
from resilience.replication.config import Config


def read(config: Config) -> dict[str, str]:
    """All that pg_controldata tells; CalledProcessError where it can't."""
    argv = [str(config.postgres.bin / "pg_controldata"), "-D", str(config.paths.pg)]
    told = subprocess.run(argv, check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}).stdout
    return {key: value.strip() for key, _, value in (line.partition(":") for line in told.splitlines())}


def ended(config: Config) -> int | None:
    """Where a database that was shut down in order wrote its last record; None while it was not, or nobody can tell."""
    try:
        told = read(config)
    except (OSError, subprocess.CalledProcessError):
        return None
    if told.get("Database cluster state") != "shut down":
        return None
    return lsn.parse(told["Latest checkpoint location"])


def accepts(dsn: str) -> bool:
    """Whether it lets anybody in."""
    return _ping(dsn) == pq.Ping.OK


def is_gone(dsn: str) -> bool:
    """Whether nobody answers; one that shuts down still says that it does."""
    return _ping(dsn) == pq.Ping.NO_RESPONSE


def _ping(dsn: str) -> int:
    return pq.PGconn.ping(conninfo.make_conninfo(dsn, connect_timeout="2").encode())
