"""What would be lost now: told as long as somebody knows it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import psycopg
import pytest

from resilience.replication.at_risk import at_risk
from tests.replication.harness import postgres_bin

NOTHING = {"confirmed_lsn": "0/5", "server_lsn": "0/5", "lag_bytes": 0, "lag_seconds": 0.0}
WELL = {"seconds": 0.0, "bytes": 0, "transactions": None, "objects": 0}
SILENT = {"seconds": None, "bytes": None, "transactions": None, "objects": None}


@pytest.mark.parametrize(
    ("silent_s", "postgres_error", "risk"),
    [
        (-60.0, None, WELL),
        (60.0, None, SILENT),
        (-60.0, "Postgres does not stream", {**SILENT, "objects": 0}),
    ],
)
def test_nobody_knows_where_both_are_silent(
    tmp_path: Path, silent_s: float, postgres_error: str | None, risk: dict[str, float | None]
) -> None:
    """Postgres does not answer: a word of a minute ago says nothing of now, nor does one of a ship that gets nothing from it."""
    postgres = SimpleNamespace(dsn=f"host={tmp_path} connect_timeout=1", bin=tmp_path)
    config = SimpleNamespace(postgres=postgres, record=SimpleNamespace(k=1))
    said = {"at": time.time() - silent_s, "postgres_error": postgres_error, "vaults": {"elm": {"backlog_objects": 0}}}
    found = at_risk(config, {**NOTHING, **said})  # type: ignore[arg-type]
    seconds = found["seconds"]
    assert {**found, "seconds": seconds and round(seconds, 1)} == risk


@pytest.fixture
def config() -> Iterator[SimpleNamespace]:
    """A real Postgres, whose WAL is read; nothing ships from it."""
    tools = postgres_bin()

    def as_postgres(*argv: str) -> None:
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *argv]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    with TemporaryDirectory() as made:
        folder = Path(made)
        shutil.chown(folder, "postgres")
        data = ("-D", str(folder / "pg"))
        as_postgres(str(tools / "initdb"), *data, "-N", "-U", "postgres", "--locale=C.UTF-8", "-E", "UTF8")
        server = (str(tools / "pg_ctl"), *data, "-w", "-l", str(folder / "log"))
        as_postgres(*server, "-o", f"-k {folder} -c listen_addresses=", "start")
        try:
            postgres = SimpleNamespace(dsn=f"host={folder} user=postgres dbname=postgres", bin=tools)
            yield SimpleNamespace(
                postgres=postgres, paths=SimpleNamespace(pg=folder / "pg"), record=SimpleNamespace(k=1)
            )
        finally:
            as_postgres(*server, "-m", "immediate", "stop")


@pytest.mark.parametrize("postgres_error", [None, "Postgres does not stream"])
def test_a_commit_that_never_came_to_ship_grows_old(config: SimpleNamespace, postgres_error: str | None) -> None:
    """Ship lives and says that nothing is lacking; Postgres is past what it was told. Where no WAL can be read, nobody knows."""
    with psycopg.connect(config.postgres.dsn, autocommit=True) as db:
        before = time.time()
        row = db.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None
        for _ in range(3):
            db.execute("CREATE TABLE IF NOT EXISTS posts (n int); INSERT INTO posts VALUES (1)")
        after = time.time()
    at = {"confirmed_lsn": row[0], "server_lsn": row[0], "postgres_error": postgres_error}
    said = {**NOTHING, **at, "at": after + 60.0, "vaults": {"elm": {"backlog_objects": 0}}}
    asked = time.time()
    risk = at_risk(config, said)  # type: ignore[arg-type]
    assert risk["transactions"] >= 3
    assert risk["seconds"] > 0.0
    assert asked - after - 0.001 <= risk["seconds"] <= time.time() - before + 0.001
    config.paths.pg = config.paths.pg / "absent"
    unread = at_risk(config, said)  # type: ignore[arg-type]
    assert (unread["seconds"], unread["transactions"]) == (None, None)
