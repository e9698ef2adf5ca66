"""A copy on a machine that sorts otherwise: its indexes are in this machine's order before anybody writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from resilience.replication.config import Config, load
from resilience.replication.ready import make_ready
from tests.replication.harness import Fleet, Site

NAMES = ["Apfel", "Ärger", "Zebra"]
"""As Germans sort them; a Swede's `Ä` is past the `Z`."""
DATABASES = (
    "CREATE DATABASE words TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'",
    "CREATE DATABASE swedish TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8' LOCALE_PROVIDER icu ICU_LOCALE 'sv'",
)
OTHERWISE = {
    "words": "UPDATE pg_collation SET colliculocale = 'de', collversion = '0' WHERE collname = 'here'",
    "swedish": "UPDATE pg_database SET daticulocale = 'de', datcollversion = '0' WHERE datname = 'swedish'",
}
"""As after a move to a machine whose library sorts so, and is of another version: one collation of a database, and a database's own."""


@pytest.fixture
def acorn(sites: Callable[..., Site], fleet: Fleet) -> Site:
    """A server with two databases in which an index is sorted as in Sweden."""
    site = sites(fleet, "acorn")
    site.create()
    with site.connect() as db:
        for statement in DATABASES:
            db.execute(statement)
    for database, collation in (("words", "COLLATE here"), ("swedish", "")):
        with site.connect(dbname=database) as db:
            db.execute("CREATE COLLATION here (provider = icu, locale = 'sv')")
            db.execute(f"CREATE TABLE names (name text {collation})")
            db.execute("CREATE INDEX by_name ON names (name)")
            db.cursor().executemany("INSERT INTO names VALUES (%s)", [(name,) for name in NAMES])
    return site


def config(site: Site) -> Config:
    """What `recover` has there."""
    return load(site.config())


def by_index(db: psycopg.Connection[Any]) -> tuple[list[str], bool]:
    """The names in the index' order, and whether it leads to each of them."""
    db.execute("SET enable_seqscan = off")
    db.execute("SET enable_sort = off")
    [(plan,)] = db.execute("EXPLAIN (FORMAT JSON) SELECT name FROM names ORDER BY name").fetchall()
    assert plan[0]["Plan"]["Index Name"] == "by_name"
    names = [name for (name,) in db.execute("SELECT name FROM names ORDER BY name").fetchall()]
    found = [bool(db.execute("SELECT FROM names WHERE name = %s", (name,)).fetchall()) for name in NAMES]
    return names, all(found)


def file_of(db: psycopg.Connection[Any]) -> int:
    """Which file the index is in: another one once it was built anew."""
    row = db.execute("SELECT pg_relation_filenode('by_name')").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("database", OTHERWISE)
def test_an_index_that_was_sorted_otherwise_is_built_anew(database: str, acorn: Site) -> None:
    """Before, a name that is there is not found; then all are, in this machine's order, and the next time there is nothing to do."""
    with acorn.connect(dbname=database) as db:
        assert by_index(db) == (["Apfel", "Zebra", "Ärger"], True)
        before = file_of(db)
        db.execute(OTHERWISE[database])
    with acorn.connect(dbname=database) as db:
        assert by_index(db) == (["Apfel", "Zebra", "Ärger"], False)
    assert make_ready(config(acorn), 0)["reindexed"] == [database]
    with acorn.connect(dbname=database) as db:
        assert by_index(db) == (NAMES, True)
        after = file_of(db)
        assert after != before
        assert make_ready(config(acorn), 0)["reindexed"] == []
        assert file_of(db) == after


def test_no_index_is_built_anew_where_it_sorts_as_before(acorn: Site) -> None:
    """It would take hours of a large database, with everybody waiting."""
    with acorn.connect(dbname="words") as db:
        before = file_of(db)
        assert make_ready(config(acorn), 0)["reindexed"] == []
        assert file_of(db) == before
