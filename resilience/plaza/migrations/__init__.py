"""Migrations: the schema, step by step, run by Alembic."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

HERE = Path(__file__).parent
OPTIONS = "-c synchronous_commit=local -c lock_timeout=10s"
"""The standby that would confirm this may not be there yet; and nobody waits behind us for long."""


def migrate(url: str) -> str:
    """Bring the database to the newest schema; returns its revision."""
    newest = head()
    if current(url) != newest:
        upgrade(url)
    return newest


def head() -> str:
    """The revision that no other one builds on; read without Alembic, which takes its time."""
    texts = [path.read_text() for path in (HERE / "versions").glob("r????_*.py")]
    made, built_on = (
        {found for text in texts for found in re.findall(rf'^{name} = "(\w+)"', text, re.MULTILINE)}
        for name in ("revision", "down_revision")
    )
    newest: str
    [newest] = made - built_on
    return newest


def current(url: str) -> str | None:
    """The revision of the database; None for a new one. Quick, since a failover waits for it."""
    with psycopg.connect(url, connect_timeout=5) as conn:
        if conn.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def upgrade(url: str, to: str = "head") -> None:
    """Bring the database to a revision, one transaction each; indexes are built beside the traffic."""
    import sqlalchemy
    from alembic import command
    from alembic.config import Config

    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(url, connect_timeout=5, options=OPTIONS),
        poolclass=sqlalchemy.pool.NullPool,
    )
    config = Config()
    config.set_main_option("script_location", str(HERE))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, to)
