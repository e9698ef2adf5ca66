"""Migrations: a standby follows them, and goes on with the new schema when it takes over."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.plaza.erasure import Eraser
from resilience.plaza.errors import NoWayBack, PlazaError
from resilience.plaza.ledger import Ledger
from resilience.plaza.migrations import head
from resilience.plaza.store import Store
from tests.plaza.harness import ROOT, Postgres, running_postgres, short_folder, wait_until, write_key

STEPS = "import os; from resilience.plaza import migrations as m; m.upgrade(os.environ['DATABASE_URL'], {to!r})"


def bring_to(url: str, to: str) -> None:
    """Migrate in a process of its own."""
    env = {**os.environ, "DATABASE_URL": url}
    subprocess.run([sys.executable, "-c", STEPS.format(to=to)], check=True, env=env, cwd=ROOT)


def value(url: str, sql: str) -> object:
    """One value."""
    with psycopg.connect(url, autocommit=True) as conn:
        row = conn.execute(sql.encode()).fetchone()
        return row[0] if row else None


def copy_of(primary: Postgres, folder: Path) -> Postgres:
    """A standby that follows."""
    standby = Postgres(folder)
    standby.prepare()
    options = ["-U", "plaza", "-h", str(primary.folder), "-D", str(folder / "data"), "-R", "-X", "stream", "-c", "fast"]
    standby._run("pg_basebackup", *options)
    standby.start()
    return standby


def test_a_standby_survives_every_migration() -> None:
    """From the first revision with rows in it to the newest: the standby reads on, is promoted, and takes writes."""
    with running_postgres() as primary, short_folder() as folder:
        name = primary.new_database()
        bring_to(primary.url(name), "0001")
        with psycopg.connect(primary.url(name)) as conn:
            conn.execute("INSERT INTO accounts (id, username, password_hash) VALUES (1, 'early', 'x')")
            conn.execute(
                "INSERT INTO statuses (id, account_id, text) SELECT n, 1, 'n ' || n FROM generate_series(1, 500) n"
            )
        standby = copy_of(primary, folder)
        write_key(folder / "ledger.key", Ed25519PrivateKey.generate())
        try:
            revision = "SELECT version_num FROM alembic_version"
            with psycopg.connect(standby.url(name), autocommit=True) as reader:
                bring_to(primary.url(name), "head")
                wait_until(lambda: value(standby.url(name), revision) == head())
                found = reader.execute("SELECT count(*), count(hidden_at) FROM statuses").fetchone()
                assert found == (500, 0)
            bring_to(primary.url(name), "head")  # again is no error
            ledger = Ledger(folder / "ledger", folder / "outbox", folder / "held", folder / "ledger.key")
            following = Eraser(standby.url(name), ledger, Store(folder / "media", folder / "outbox"))
            with pytest.raises(PlazaError, match="follows another"):
                following.replay()
            primary.stop()
            standby._run("pg_ctl", "-D", str(folder / "data"), "promote", "-w")
            assert following.replay().entries == 0
            assert value(standby.url(name), "SELECT text FROM statuses WHERE id = 499") == "n 499"
            assert value(standby.url(name), "INSERT INTO search_posts VALUES (1, 'n') RETURNING id") == 1
            assert value(standby.url(name), "UPDATE site_mode SET mode = 'read-only' RETURNING mode") == "read-only"
        finally:
            standby.stop()
            primary.start()


KEEPING = [
    "r0001_first",
    "r0002_people_posts_moderation",
    "r0050_signups",
    "r0051_push",
    "r0052_profiles",
    "r0053_persons_keys",
    "r0056_keyrings",
]


@pytest.mark.parametrize("name", KEEPING)
def test_what_people_did_is_not_dropped_with_a_schema(name: str) -> None:
    """Going back is refused before anything is touched: what would be lost, and what to do instead."""
    revision = importlib.import_module(f"resilience.plaza.migrations.versions.{name}")
    with pytest.raises(NoWayBack, match=r"would drop .*Restore a copy"):
        revision.downgrade()
