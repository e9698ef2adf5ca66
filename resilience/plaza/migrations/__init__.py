"""Migrations: the schema, step by step, run by Alembic."""

from __future__ import annotations

from pathlib import Path

import psycopg

HERE = Path(__file__).parent


def migrate(url: str) -> str:
    """Bring the database to the newest schema; returns its revision."""
    newest = max(path.name[1:5] for path in (HERE / "versions").glob("r????_*.py"))
    if current(url) != newest:
        _upgrade(url)
    return newest


def current(url: str) -> str | None:
    """The revision of the database; None for a new one. Quick, since a failover waits for it."""
    with psycopg.connect(url, connect_timeout=5) as conn:
        if conn.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
            return None
        row = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def _upgrade(url: str) -> None:
    import sqlalchemy
    from alembic import command
    from alembic.config import Config

    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(url, connect_timeout=5),
        poolclass=sqlalchemy.pool.NullPool,
    )
    config = Config()
    config.set_main_option("script_location", str(HERE))
    with engine.begin() as connection:
        # The standby that would confirm this may not be there yet on the first day.
        connection.exec_driver_sql("SET LOCAL synchronous_commit = local")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
