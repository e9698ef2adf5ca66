"""The witness: what the primary sees at a position, while everybody writes; copies show the same there, or are told."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from resilience.engine.compare import compared
from resilience.errors import ResilienceError
from resilience.replication import seals, tally, witness
from resilience.replication.config import load
from tests.replication.harness import Fleet, Site, wait_until

Told = dict[str, Any]
MADE = (
    "CREATE SEQUENCE numbers",
    "CREATE TABLE kinds (n bigint, at timestamptz, f float8, b bytea, i interval, t text)",
    "CREATE TABLE kept AS SELECT n, 'said as it was, number ' || n AS words FROM generate_series(1, 100) n",
    "CREATE DATABASE app",
)
KIND = "INSERT INTO kinds SELECT nextval('numbers'), now(), random(), '\\xdeadbeef', '1 day 2 hours', repeat('t', 50)"
OTHERWISE = "-c timezone=Asia/Tokyo -c datestyle=German -c bytea_output=escape -c extra_float_digits=-10"
"""How the primary's rows look by its own settings, which copies have not."""


def plain(db: psycopg.Connection[Any]) -> None:
    """New rows, changed ones and removed ones."""
    db.execute(KIND)
    db.execute("UPDATE kinds SET f = f + 1 WHERE n = (SELECT max(n) - 5 FROM kinds)")
    db.execute("DELETE FROM kinds WHERE n = (SELECT max(n) - 9 FROM kinds)")


def nested(db: psycopg.Connection[Any]) -> None:
    """Half of what one transaction does is taken back."""
    with db.transaction():
        db.execute(KIND)
        for undone in (False, True):
            with db.transaction(force_rollback=undone):
                db.execute(KIND)


def prepared(db: psycopg.Connection[Any]) -> None:
    """Committed by another transaction than the one that wrote."""
    for statement in ("BEGIN", KIND, "PREPARE TRANSACTION 'two phases'", "COMMIT PREPARED 'two phases'"):
        db.execute(statement)


WRITERS: tuple[tuple[Callable[[psycopg.Connection[Any]], None], dict[str, str]], ...] = (
    (plain, {}),
    (plain, {"dbname": "app"}),
    (nested, {}),
    (nested, {}),
    (prepared, {}),
)


@contextmanager
def writing(site: Site, *writers: tuple[Callable[[psycopg.Connection[Any]], None], dict[str, str]]) -> Iterator[None]:
    """Everybody writes, all the time; whoever fails makes the test fail."""
    stop = threading.Event()

    def go_on(act: Callable[[psycopg.Connection[Any]], None], options: dict[str, str]) -> None:
        with site.connect(**options) as db:
            while not stop.is_set():
                act(db)

    with ThreadPoolExecutor(max_workers=len(writers)) as pool:
        running = [pool.submit(go_on, *writer) for writer in writers]
        try:
            yield
        finally:
            stop.set()
        assert [future.result() for future in running] == [None] * len(writers)


def taken(site: Site) -> Told:
    """A witness."""
    return site.run("witness", config=site.ship_config())


def at_witness(reader: Site, vault: str, told: Told, *, fails: bool = False) -> Told:
    """What a vault shows where the primary was counted."""
    config = reader.config(standby=True, signing_key_file=None, witness=told)
    return reader.run("verify", "--vault", vault, config=config, fails=fails)


def begun(site: Site) -> None:
    """A primary with two databases, and a transaction that stays prepared; everything is in its log."""
    site.more_options = OTHERWISE
    site.begin("max_prepared_transactions = 5", "autovacuum = off")
    with site.connect() as db:
        for statement in (*MADE, "BEGIN", KIND, "PREPARE TRANSACTION 'for good'"):
            db.execute(statement)
    with site.connect(dbname="app") as db:
        for statement in MADE[:2]:
            db.execute(statement)


def overtaken(site: Site, monkeypatch: pytest.MonkeyPatch) -> Told:
    """A witness while commits wait for vaults; none is had once another commit does not wait and overtakes them."""
    ship = site.processes[0]
    waits = "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    ship.send_signal(signal.SIGSTOP)
    try:
        with site.connect() as db:
            wait_until(lambda: len(db.execute(waits).fetchall()) == len(WRITERS), "all commits to wait")
            told = taken(site)
            db.execute("SET synchronous_commit = local")
            db.execute(KIND)
            with monkeypatch.context() as patch:
                patch.setattr(witness, "PATIENCE", 0.3)
                with pytest.raises(ResilienceError, match="No snapshot equalled a position"):
                    witness.main(load(site.ship_config()))
    finally:
        ship.send_signal(signal.SIGCONT)
    return told


def left_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a witness says of tables that are altered, emptied, dropped or locked right before they are read."""
    count = tally.count
    with site.connect() as db, site.connect() as holder:
        for name in ("altered", "dropped", "emptied", "locked"):
            db.execute(f"CREATE TABLE {name} AS SELECT 1 AS n")
        meanwhile = {
            "public.altered": (db, "ALTER TABLE altered ADD COLUMN more int DEFAULT 5"),
            "public.dropped": (db, "DROP TABLE dropped"),
            "public.emptied": (db, "TRUNCATE emptied"),
            "public.locked": (holder, "BEGIN; LOCK TABLE locked"),
        }

        def counted(inside: psycopg.Connection[Any], table: str) -> tally.Tally:
            if table in meanwhile:
                other, statement = meanwhile.pop(table)
                other.execute(statement)
            return count(inside, table)

        with monkeypatch.context() as patch:
            patch.setattr(tally, "count", counted)
            patch.setitem(tally.SETTINGS, "lock_timeout", "100ms")
            told = witness.main(load(site.ship_config()))
        holder.execute("ROLLBACK")
    assert not meanwhile
    assert not told["tables"].keys() & told["left_out"].keys()
    return dict(told["left_out"])


def with_another_database(site: Site, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a witness says when a database is made right after all were listed."""
    databases, made = tally.databases, [False]

    def listed(db: psycopg.Connection[Any]) -> list[str]:
        found = databases(db)
        if not made[0]:
            made[0] = True
            with site.connect() as other:
                other.execute("CREATE DATABASE another")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(tally, "databases", listed)
        with pytest.raises(ResilienceError) as told:
            witness.main(load(site.ship_config()))
    return told.value.what


def change_on_disk(site: Site) -> None:
    """Whoever has the disk changes one row past Postgres and its log; every page keeps a good checksum."""
    with site.connect() as db:
        db.execute("VACUUM (FREEZE) kept")
        db.execute("CHECKPOINT")
        row = db.execute("SELECT pg_relation_filepath('kept')").fetchone()
        assert row is not None
        file = site.pg / row[0]
    subprocess.run(site.pg_ctl("-m", "fast", "stop"), check=True, capture_output=True, cwd="/")
    checksums = site.as_postgres(str(site.bin / "pg_checksums"), "-D", str(site.pg))
    subprocess.run([*checksums, "--disable"], check=True, capture_output=True, cwd="/")
    data = file.read_bytes()
    assert data.count(b"number 42") == 1
    file.write_bytes(data.replace(b"number 42", b"number 43"))
    subprocess.run([*checksums, "--enable"], check=True, capture_output=True, cwd="/")
    site.start()


def test_copies_show_what_the_primary_saw(
    sites: Callable[..., Site], fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row by row, though nobody stopped writing: where commits wait for nobody, where all wait for vaults, and while they wait.

    A table that is changed while it is counted is left out. One row that was changed on the primary's disk is told by its table. A position at which more is committed than was seen is
    told as such; a witness that somebody else signed is none.
    """
    fleet.lease_s = 120.0  # while ship is stopped nobody renews it
    acorn = sites(fleet, "acorn")
    begun(acorn)
    relaxed = (plain, {"options": "-c synchronous_commit=off"})
    with writing(acorn, relaxed, *WRITERS):
        seen = [taken(acorn)]
    with acorn.connect() as db:
        db.execute("ALTER SYSTEM SET synchronous_standby_names = 'ship'")
        db.execute("SELECT pg_reload_conf()")
    with writing(acorn, *WRITERS):
        seen += [taken(acorn), overtaken(acorn, monkeypatch)]
    changed = "its columns or its files were changed meanwhile"
    assert left_out(acorn, monkeypatch) == {
        "postgres.public.altered": changed,
        "postgres.public.dropped": "it was dropped meanwhile",
        "postgres.public.emptied": changed,
        "postgres.public.locked": "somebody had it locked",
    }
    assert "A database was made or dropped" in with_another_database(acorn, monkeypatch)
    change_on_disk(acorn)
    seen += [taken(acorn)]
    acorn.wait_confirmed()
    sign = seals.signer(fleet.keys[1])
    moved = seals.sign_json({**seen[2], "position": seen[3]["position"]}, sign)
    readers = [sites(fleet, name, standby=True) for name in ("one", "two", "three", "four", "five")]
    vaults = ("elm", "birch", "cedar", "elm", "birch")
    with ThreadPoolExecutor(max_workers=2) as pool:
        copies = list(pool.map(at_witness, readers, vaults, [*seen, moved]))
    found = [compared(told, copy) for told, copy in zip([*seen, moved], copies, strict=True)]
    assert [f["compared"] for f in found] == [True, True, True, False, None], json.dumps(found)[:3000]
    assert all(told["tables"]["app.public.kinds"][0] for told in seen)
    assert len({told["tables"]["postgres.public.kinds"][1] for told in seen}) == len(seen)
    assert [copy["end_lsn"] for copy in copies] == [told["position"] for told in [*seen, moved]]
    assert list(found[3]["unlike"]) == ["postgres.public.kept"]
    assert len(copies[4]["early"]) >= len(WRITERS), "those that waited"
    told = at_witness(readers[0], "elm", {**seen[0], "position": seen[1]["position"]}, fails=True)
    assert "does not count" in told["what"]
