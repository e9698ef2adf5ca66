"""What a promoted copy needs before anybody writes to it: numbers that were never seen, and indexes that fit here."""

from __future__ import annotations

from typing import Any

import psycopg
import structlog
from psycopg import sql

from resilience.replication import sessions
from resilience.replication.config import Config

ADVANCE = 100_000
"""So many numbers of each sequence are skipped: more than any site gives away within what may be lost."""
NOBODY_SHIPS = {"synchronous_commit": "local", **sessions.WRITES}
"""A commit that waited for vaults would wait for ever here."""
DATABASES = "SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1"
SEQUENCES = """
SELECT format('%I.%I', schemaname, sequencename), coalesce(last_value, start_value)::numeric, increment_by::numeric,
  CASE WHEN increment_by > 0 THEN max_value ELSE min_value END::numeric
FROM pg_sequences WHERE NOT cycle
"""
DATABASE_CHANGED = """
SELECT datcollversion <> pg_database_collation_actual_version(oid) FROM pg_database WHERE datname = current_database()
"""
COLLATIONS_CHANGED = """
SELECT n.nspname, c.collname FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE CASE WHEN c.oid < 12000 OR c.oid IN (SELECT refobjid FROM pg_depend WHERE refclassid = 'pg_collation'::regclass)
  THEN c.collversion <> pg_collation_actual_version(c.oid) END
"""
"""Of those that something is sorted by: there are eight hundred, and each takes its time to tell. On the few that are
pinned (below 12000: `unicode` from Postgres 16 on) no dependency is noted, so they are always asked."""
log = structlog.get_logger()


def make_ready(config: Config, skip: int) -> dict[str, Any]:
    """Every database: sequences skip what may have been lost, indexes are built anew where sorting changed."""
    reindexed: list[str] = []
    advanced, full = 0, []
    with sessions.superuser(config.postgres.dsn) as db:
        names = [name for (name,) in db.execute(DATABASES).fetchall()]
    for name in names:
        with sessions.superuser(config.postgres.dsn, name, NOBODY_SHIPS) as db:
            if _sort_as_here(config, db, name):
                reindexed.append(name)
            if skip:
                done, lacking = _advance(db, skip)
                advanced += done
                full += [f"{name}: {sequence}" for sequence in lacking]
    if full:
        log.error("sequences are near their end: numbers may be used again", sequences=full)
    return {"reindexed": reindexed, "sequences_advanced": advanced, "sequences_full": full}


def _advance(db: psycopg.Connection[Any], skip: int) -> tuple[int, list[str]]:
    """Skip numbers that the lost site may have shown to somebody; how many sequences, and those without room."""
    done, full = 0, []
    for name, last, step, bound in db.execute(SEQUENCES).fetchall():
        target = last + skip * step
        if (step > 0 and target > bound) or (step < 0 and target < bound):
            full.append(name)
            continue
        db.execute("SELECT setval(%s, %s)", (name, int(target)))
        done += 1
    return done, full


def _sort_as_here(config: Config, db: psycopg.Connection[Any], name: str) -> bool:
    """Build indexes anew where this machine sorts otherwise than the one they were built on; whether it did.

    As the database's owner: what indexes call finds what it calls as it did before.
    """
    database = db.execute(DATABASE_CHANGED).fetchone()
    changed = db.execute(COLLATIONS_CHANGED).fetchall()
    if not changed and not (database and database[0]):
        return False
    log.warning("this machine sorts otherwise; indexes are built anew", database=name, collations=len(changed))
    with sessions.as_owner(config.postgres.dsn, name, NOBODY_SHIPS) as owner:
        owner.execute(sql.SQL("REINDEX DATABASE {}").format(sql.Identifier(name)))
    for schema, collation in changed:
        db.execute(sql.SQL("ALTER COLLATION {} REFRESH VERSION").format(sql.Identifier(schema, collation)))
    db.execute(sql.SQL("ALTER DATABASE {} REFRESH COLLATION VERSION").format(sql.Identifier(name)))
    return True
