"""Tally: of each table how many rows, and a hash of their contents that no order changes; alike wherever it is made."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from resilience.replication import sessions
from resilience.replication.config import Config

SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO,YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "lc_monetary": "C",
    "search_path": "pg_catalog",
    "row_security": "off",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "10s",
}
"""A row's text is the same wherever these are: whatever a role, a database or a site has set otherwise."""
DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1"
SHAPES = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), concat_ws(' ', c.oid, c.relfilenode,
    (SELECT string_agg(concat_ws(' ', attnum, attname, atttypid, attisdropped, atthasmissing), ',' ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0),
    (SELECT md5(string_agg(enumtypid || enumlabel, ',' ORDER BY oid)) FROM pg_enum))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relispopulated AND c.relpersistence = 'p'
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1
"""
COUNT = "SELECT count(*), coalesce(sum(hashtextextended(textin(record_out((t.*))), 0)), 0)::text FROM ONLY {} t"
"""By Postgres' own functions alone: a cast to text may be anybody's, and say anything."""


class Tally(NamedTuple):
    """What is in a table."""

    rows: int
    hash: str


def databases(db: psycopg.Connection[Any]) -> list[str]:
    """All that people may be let into."""
    return [name for (name,) in db.execute(DATABASES).fetchall()]


def session(config: Config, database: str, **more: str) -> psycopg.Connection[Any]:
    """Into one database, as its owner, where a row's text is what it is everywhere."""
    return sessions.as_owner(config.postgres.dsn, database, {**SETTINGS, **more})


def shapes(db: psycopg.Connection[Any]) -> dict[str, str]:
    """Each table that has a log, and what changes whenever its rows are written anew or are of another shape."""
    return dict(db.execute(SHAPES).fetchall())


def count(db: psycopg.Connection[Any], table: str) -> Tally:
    """One table, read once from its beginning to its end."""
    row = db.execute(sql.SQL(COUNT).format(sql.SQL(table))).fetchone()
    assert row is not None
    return Tally(int(row[0]), str(row[1]))


def whole(config: Config, db: psycopg.Connection[Any]) -> dict[str, Tally]:
    """All tables of a copy to which nobody writes, by database and name; whoever owns a database may read all of it there."""
    found: dict[str, Tally] = {}
    for name in databases(db):
        owner = sql.Identifier(sessions.owner(config.postgres.dsn, name))
        db.execute(sql.SQL("GRANT pg_read_all_data TO {}").format(owner))
        db.execute(sql.SQL("ALTER ROLE {} LOGIN BYPASSRLS").format(owner))
        with session(config, name) as inside:
            found |= {f"{name}.{table}": count(inside, table) for table in shapes(inside)}
    return found
