"""A hot standby: fed from vaults alone, readable, promoted at once, and never further than it may be."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.replication.harness import Fleet, Site, wait_until

STRANGE = (
    "CREATE SEQUENCE ids",
    "CREATE SEQUENCE unused",
    "SELECT nextval('ids') FROM generate_series(1, 5)",
    "CREATE COLLATION de (provider = icu, locale = 'de')",
    "CREATE TABLE names (name text COLLATE de)",
    "CREATE INDEX ON names (name)",
    "UPDATE pg_collation SET collversion = '0' WHERE collname = 'de'",
    "ALTER SYSTEM SET max_connections = 120",
)
"""Numbers that may have been shown, a machine that sorts otherwise, a setting that a standby must not have lower."""


def promote(standby: Site, fleet: Fleet) -> tuple[dict[str, object], float]:
    """Stop following, seal, restore and recover; what restore said, and how long both took."""
    for process in standby.processes:
        process.terminate()
        process.wait(10)
    standby.take(fleet.seal(standby.name))
    began = time.monotonic()
    merged = standby.run("restore")
    standby.run("recover")
    return merged, time.monotonic() - began


def test_follows_and_is_promoted(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Rows can be read at the standby; it is promoted with all of them, and another follows on across the switch."""
    acorn = sites(fleet, "acorn")
    acorn.begin()
    acorn.insert(1, 50)
    birch, cedar = sites(fleet, "birch", standby=True), sites(fleet, "cedar", standby=True)
    birch.follow()
    cedar.follow()
    wait_until(lambda: birch.has(50), birch.told_by_standby)
    acorn.insert(51, 100)
    wait_until(lambda: birch.has(100), birch.told_by_standby)
    with acorn.connect() as db:
        for statement in STRANGE:
            db.execute(statement)
    acorn.restart()
    status = birch.standby_status()
    assert (status["role"], status["follows"], status["readable"]) == ("standby", "acorn", True)
    acorn.insert(101, 150)
    acorn.wait_confirmed()
    acorn.kill_postgres()
    acorn.end()

    promote(birch, fleet)
    assert birch.rows() == list(range(1, 151))
    with birch.connect() as db:
        assert db.execute("SHOW max_connections").fetchone() == ("120",)
        assert db.execute("SELECT nextval('ids') > 100000, nextval('unused') > 100000").fetchone() == (True, True)
        sorts = "SELECT collversion = pg_collation_actual_version(oid) FROM pg_collation WHERE collname = 'de'"
        assert db.execute(sorts).fetchone() == (True,)
    birch.ship()
    birch.insert(151, 200)
    wait_until(lambda: cedar.has(200), cedar.told_by_standby)
    assert cedar.standby_status()["follows"] == "birch"
    birch.wait_confirmed()
    birch.kill_postgres()
    birch.end()
    promote(cedar, fleet)
    assert cedar.rows() == list(range(1, 201))
