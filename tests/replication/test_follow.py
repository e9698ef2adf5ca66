"""A hot standby: fed from vaults alone, readable, promoted at once, and never further than it may be."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from resilience.replication import layout, seals
from resilience.replication.fetch_media import place
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


PICTURES = {
    "database": "postgres",
    "sql": "SELECT sha256 FROM pictures",
    "newer": "SELECT id, sha256 FROM pictures WHERE id > %s ORDER BY id LIMIT %s",
}


def promote(
    standby: Site, fleet: Fleet, meanwhile: Callable[[], None] = lambda: None
) -> tuple[dict[str, object], float]:
    """Stop following, seal, restore and recover; what restore said, and how long both took."""
    for process in standby.processes:
        process.terminate()
        process.wait(10)
    standby.take(fleet.seal(standby.name))
    began = time.monotonic()
    merged = standby.run("restore")
    meanwhile()
    standby.run("recover")
    return merged, time.monotonic() - began


def add_picture(site: Site) -> str:
    """A picture in one vault, and the row that names it."""
    data = b"a picture"
    name = hashlib.sha256(data).hexdigest()
    site.fleet.vaults()["elm"].put_new(f"media/{name}", seals.encrypt(data, [site.fleet.recipient]))
    with site.connect() as db:
        db.execute("CREATE TABLE pictures (id bigint PRIMARY KEY, sha256 text)")
        db.execute("INSERT INTO pictures VALUES (7, %s)", (name,))
    return name


def put_entry(fleet: Fleet, epoch: int, number: int, text: bytes) -> None:
    """A ledger entry in each vault."""
    for vault in fleet.vaults().values():
        vault.put_new(layout.ledger(epoch, number), seals.encrypt(text, [fleet.recipient]))


def follows_the_ledger(standby: Site, fleet: Fleet) -> None:
    """Two entries come while it follows."""
    put_entry(fleet, 1, 1, b"the first")
    put_entry(fleet, 1, 2, b"of a site that is fenced")
    wait_until(lambda: standby.standby_status()["ledger_entries"] == 2, standby.told_by_standby)


def bring_ledger(standby: Site, fleet: Fleet) -> None:
    """What was read while following is not asked for again; a fenced site's entry gives way to its successor's."""
    for vault in fleet.stores:
        fleet.alter(vault, layout.ledger(1, 1))
    put_entry(fleet, 2, 2, b"the successor's")
    assert standby.run("fetch-ledger") == {"entries": 2, "fetched": 2, "forked": [layout.ledger(1, 2)]}
    brought = [path.read_bytes() for path in sorted((standby.folder / "ledger").glob("*.json"))]
    assert brought == [b"the first", b"the successor's"]


def lose_ship(site: Site) -> None:
    """Nothing is at risk while ship runs; without it, each commit is counted."""
    assert site.run("status", config=site.ship_config())["at_risk"]["transactions"] == 0
    site.processes[0].kill()
    site.processes[0].wait()
    with site.connect(options="-c synchronous_commit=local") as db:
        for _ in range(3):
            db.execute("SELECT pg_current_xact_id()")
        db.execute("CHECKPOINT")
    assert site.run("status", config=site.ship_config())["at_risk"]["transactions"] >= 3


def test_follows_and_is_promoted(sites: Callable[..., Site], fleet: Fleet) -> None:
    """Rows can be read at the standby; it is promoted with all of them, and another follows on across the switch."""
    acorn = sites(fleet, "acorn")
    acorn.begin()
    acorn.insert(1, 50)
    birch, cedar = sites(fleet, "birch", standby=True), sites(fleet, "cedar", standby=True)
    birch.follow(birch.config(standby=True, media_query=PICTURES))
    cedar.follow()
    wait_until(lambda: birch.has(50), birch.told_by_standby)
    acorn.insert(51, 100)
    wait_until(lambda: birch.has(100), birch.told_by_standby)
    follows_the_ledger(birch, fleet)
    with acorn.connect() as db:
        for statement in STRANGE:
            db.execute(statement)
    picture = add_picture(acorn)
    acorn.restart()
    wait_until(lambda: place(birch.folder / "media", picture).exists(), birch.told_by_standby)
    status = birch.standby_status()
    assert (status["role"], status["follows"], status["readable"]) == ("standby", "acorn", True)
    acorn.insert(101, 150)
    acorn.wait_confirmed()
    lose_ship(acorn)
    acorn.kill_postgres()
    acorn.end()

    promote(birch, fleet, lambda: bring_ledger(birch, fleet))
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
