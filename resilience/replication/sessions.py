"""Sessions: the two doors by which our commands ask Postgres. Nothing else there opens one, but for the stream of WAL.

The app's role owns its database. So it can put names of its own before Postgres' (`search_path`, functions that are nearer in type, views),
and code into whatever a query over its tables has the planner look at: the parts of an index' or a statistic's expression that never
change are reckoned at once, as whoever asks. As *superuser* therefore only Postgres' own catalogs are asked, by names that nobody comes
before. Rows are asked for *as the owner* of their database, by a login of its own: from there no way leads back to anybody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

Session = psycopg.Connection[Any]
PATIENT = {"statement_timeout": "0", "lock_timeout": "0"}
"""Whatever a role or a database has set, as with all settings here: those of a login go before."""
SAFE = {
    **PATIENT,
    "search_path": "pg_catalog",
    "role": "none",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
}
WRITES = {"default_transaction_read_only": "off"}
"""For who must write where a database says that nobody does; all of a server is told so only by ship, which means it."""
DEFAULTS: Mapping[str, str] = MappingProxyType({})
OWNER = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s"


def superuser(dsn: str, database: str = "", settings: Mapping[str, str] = DEFAULTS, timeout: int = 0) -> Session:
    """As whom the configuration names, for what only a superuser may, and for what no query over a table is needed."""
    return _opened(dsn, {**SAFE, **settings}, timeout, {"dbname": database} if database else {})


def owner(dsn: str, database: str, timeout: int = 0) -> str:
    """Whose this database is."""
    with superuser(dsn, timeout=timeout) as db:
        found = db.execute(OWNER, (database,)).fetchone()
    if found is None:
        raise psycopg.errors.InvalidCatalogName(f'database "{database}" does not exist')
    return str(found[0])


def as_role(dsn: str, role: str, database: str, settings: Mapping[str, str] = DEFAULTS, timeout: int = 0) -> Session:
    """As somebody who may be no superuser: with what it has set for itself, but for `settings`."""
    return _opened(dsn, {**PATIENT, **settings}, timeout, {"dbname": database, "user": role})


def as_owner(dsn: str, database: str, settings: Mapping[str, str] = DEFAULTS) -> Session:
    """As whose the database is."""
    return as_role(dsn, owner(dsn, database), database, settings)


def options(settings: Mapping[str, str]) -> str:
    """As programs of Postgres' own take them, too, in `PGOPTIONS`."""
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _opened(dsn: str, settings: Mapping[str, str], timeout: int, where: Mapping[str, str]) -> Session:
    given = f"{conninfo_to_dict(dsn).get('options', '')} {options(settings)}"
    waits = {"connect_timeout": timeout} if timeout else {}
    return psycopg.connect(dsn, autocommit=True, client_encoding="UTF8", options=given, **where, **waits)  # type: ignore[arg-type]
