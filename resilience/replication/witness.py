"""witness: what the primary itself sees, table by table, at a position of its WAL: what copies are compared with.

A snapshot of Postgres names transactions, the WAL has positions. Where exactly those transactions are committed before a
position that the snapshot sees, both are the same state. Nobody is kept waiting for it: a snapshot is taken, the WAL says
whether there is such a position, and if not the next one is taken.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import psycopg
from psycopg import errors
from pydantic import Field

from resilience.errors import ResilienceError
from resilience.replication import commits, lsn, seals, signed, tally
from resilience.replication.config import Config
from resilience.replication.sessions import superuser
from resilience.replication.signed import Position
from resilience.replication.tally import Tally
from resilience.replication.visible import Between, Visible, position

FORMAT = "resilience-witness/1"
PATIENCE = 30.0
"""Seconds in which a snapshot that equals a position must be had."""
POLL = 0.02
FAR = 256 << 20
"""So much WAL is looked through for commits, and no more."""
MANY = 1_000_000
"""More transactions than ever begin between a snapshot and the position that equals it."""
GENTLE = {"max_parallel_workers_per_gather": "0", "client_connection_check_interval": "10s"}
"""One core at most, and no longer than somebody waits for it."""
BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
SEEN = b"SELECT pg_current_snapshot()::text"
MARK = "SELECT pg_logical_emit_message(true, 'resilience', 'witness')"
"""Some bytes of WAL, flushed when they are committed, as then is all before them: a quiet primary's, too."""
SHIPPED = """
SELECT s.restart_lsn::text, p.setting::bigint, c.timeline_id
FROM pg_replication_slots s, pg_settings p, pg_control_checkpoint() c
WHERE s.slot_name = 'ship' AND s.restart_lsn IS NOT NULL AND p.name = 'wal_segment_size'
"""
RUNNING = "SELECT count(*) FROM unnest(%s::text[]) x WHERE NOT pg_visible_in_snapshot(x::xid8, pg_current_snapshot())"
EARLY = """
SELECT x::text FROM unnest(%s::text[]) x
WHERE CASE WHEN x::xid8 < %s::text::xid8 THEN coalesce(pg_xact_status(x::xid8), '') NOT IN ('aborted', 'in progress') END
"""


@dataclass(frozen=True)
class Witness:
    """What the primary saw."""

    position: Position
    snapshots: dict[str, Annotated[str, Field(pattern=r"^[0-9]{1,19}:[0-9]{1,19}:[0-9,]*$")]]
    """By database."""


@dataclass(frozen=True)
class Taken:
    """Snapshots, one a database, that all equal one position."""

    position: int
    snapshots: Mapping[str, str]


def main(config: Config) -> dict[str, Any]:
    """Take a snapshot that equals a position, count every table in it, and sign what was found."""
    began = time.time()
    sign = config.sign()
    try:
        with _looking(config) as (asking, sessions):
            taken = _equal(config, asking, sessions)
            _refuse_others(sessions)
            counted = {name: _counted(config, name, session) for name, session in sessions.items()}
    except psycopg.Error as error:
        raise ResilienceError(
            "The primary's Postgres could not be counted.",
            " ".join(str(error).split()),
            "Look at it; copies are verified without it meanwhile.",
        ) from error
    told = {
        "format": FORMAT,
        "fleet": config.fleet,
        "site": config.site,
        "epoch": config.record.number,
        "nonce": config.record.nonce,
        "at": began,
        "position": lsn.show(taken.position),
        "snapshots": dict(taken.snapshots),
        "tables": {f"{db}.{table}": found for db, (tables, _) in counted.items() for table, found in tables.items()},
        "left_out": {f"{db}.{table}": why for db, (_, left) in counted.items() for table, why in left.items()},
        "seconds": round(time.time() - began, 1),
    }
    return seals.sign_json(told, sign)


@contextmanager
def _looking(config: Config) -> Iterator[tuple[psycopg.Connection[Any], dict[str, psycopg.Connection[Any]]]]:
    """One connection that asks, and one a database that will count."""
    with ExitStack() as stack:
        asking = stack.enter_context(superuser(config.postgres.dsn, settings={"synchronous_commit": "local"}))
        sessions = {
            name: stack.enter_context(tally.session(config, name, **GENTLE)) for name in tally.databases(asking)
        }
        yield asking, sessions


def _equal(config: Config, asking: psycopg.Connection[Any], sessions: Mapping[str, psycopg.Connection[Any]]) -> Taken:
    """Snapshots that equal a position, in transactions that stay open."""
    until = time.monotonic() + PATIENCE
    while True:
        snapshots = _snapshots(sessions)
        views = [Visible.parse(text) for text in snapshots.values()]
        found = _position(config, asking, views)
        if not isinstance(found, Between):
            return Taken(found, snapshots)
        for session in sessions.values():
            session.execute("ROLLBACK")
        _await_end(asking, found, until)


def _refuse_others(sessions: Mapping[str, psycopg.Connection[Any]]) -> None:
    """The snapshot must know of these databases and no others: a copy may have one that nobody here counts."""
    if any(set(tally.databases(session)) != sessions.keys() for session in sessions.values()):
        raise ResilienceError(
            "A database was made or dropped while the primary was looked at.",
            "It has tables that were not counted.",
            "Verify again.",
        )


def _snapshots(sessions: Mapping[str, psycopg.Connection[Any]]) -> dict[str, str]:
    """One of each database, at once: a snapshot can't be handed from one database to another."""
    for session in sessions.values():
        session.execute(BEGIN)
    for session in sessions.values():
        session.pgconn.send_query(SEEN)
        session.pgconn.flush()
    return {name: _answer(session) for name, session in sessions.items()}


def _answer(session: psycopg.Connection[Any]) -> str:
    value = None
    while (result := session.pgconn.get_result()) is not None:
        value = result.get_value(0, 0) if result.ntuples else value
    if value is None:
        raise psycopg.OperationalError(session.pgconn.get_error_message())
    return value.decode()


def _position(config: Config, asking: psycopg.Connection[Any], views: list[Visible]) -> int | Between:
    """Where the WAL is what these see: by its commits since the position that ship had confirmed.

    Whoever still waits for vaults has its commit behind there. One that lies before it, and was not seen either, is found at the
    copy, where it is committed.
    """
    row = asking.execute(SHIPPED).fetchone()
    if row is None:
        raise ResilienceError("Ship has no slot here.", "What it did not ship can't be told.", "Start ship.")
    end = lsn.parse(_one(asking, "SELECT pg_current_wal_insert_lsn()::text"))
    start = lsn.segment_start(min(lsn.parse(row[0]), end), int(row[1]))
    if end - start > FAR:
        raise ResilienceError(
            f"Ship is {(end - start) >> 20} MiB behind.",
            "So much WAL is not looked through for what waits in it.",
            "Wait until the vaults have caught up.",
        )
    asking.execute(MARK)
    found = commits.between(config, start, end, int(row[2]))
    if found is None:
        raise ResilienceError(
            "The primary's WAL can't be read.",
            f"pg_waldump fails between {lsn.show(start)} and {lsn.show(end)}.",
            "Verify again; right after a takeover it takes until the first checkpoint.",
        )
    return position(found, views, end)


def _await_end(asking: psycopg.Connection[Any], between: Between, until: float) -> None:
    """Return once everybody who was overtaken has been seen."""
    numbers = [str(number) for number in between.unseen]
    while int(_one(asking, RUNNING, (numbers,))):
        if time.monotonic() > until:
            raise _never(f"Transaction {min(between.unseen)} waits for the vaults, and others do not.")
        time.sleep(POLL)
    if time.monotonic() > until:
        raise _never("Commits overtook each other every time.")


def _never(why: str) -> ResilienceError:
    return ResilienceError(
        f"No snapshot equalled a position of the WAL within {PATIENCE:.0f} s.",
        why,
        "Verify again when less is written; copies are verified without it meanwhile.",
    )


def _one(db: psycopg.Connection[Any], query: str, values: tuple[Any, ...] = ()) -> Any:
    row = db.execute(query, values).fetchone()
    assert row is not None
    return row[0]


def _counted(
    config: Config, database: str, session: psycopg.Connection[Any]
) -> tuple[dict[str, Tally], dict[str, str]]:
    """Each table of one database as the snapshot sees it, and those that were changed under it, with why.

    Nobody who wants to change a table waits for more than that table: the lock goes with the savepoint. What is changed
    meanwhile is no part of the snapshot any more.
    """
    before = tally.shapes(session)
    found: dict[str, Tally] = {}
    left_out: dict[str, str] = {}
    for table in before:
        try:
            with session.transaction(force_rollback=True):
                found[table] = tally.count(session, table)
        except errors.LockNotAvailable:
            left_out[table] = "somebody had it locked"
        except errors.UndefinedTable:
            left_out[table] = "it was dropped meanwhile"
        except errors.InsufficientPrivilege:
            left_out[table] = "whoever owns the database may not read it"
    with tally.session(config, database) as now:
        after = tally.shapes(now)
    changed = {table for table in before if after.get(table) != before[table]} - left_out.keys()
    left_out |= dict.fromkeys(changed, "its columns or its files were changed meanwhile")
    return {table: counted for table, counted in found.items() if table not in left_out}, left_out


def read(told: Mapping[str, Any], config: Config) -> Witness:
    """A witness of the site that may write; an error where anybody else said it, or it makes no sense."""
    good = seals.verified_json(seals.canonical(told), seals.verifier(config.record.signer))
    found = None if good is None or good.get("format") != FORMAT else signed.read(good, Witness)
    if found is None:
        raise ResilienceError(
            "What the primary is said to have seen does not count.",
            f"It is not signed with the key of epoch {config.record.number}, or says something else.",
            "Verify again; if it stays, look at who answers there.",
        )
    return found


def early(witness: Witness, db: psycopg.Connection[Any]) -> list[str]:
    """Transactions that are committed in a copy, at the witness' position, and that the primary did not see yet.

    With any of these the copy is not what the primary saw, and neither is wrong.
    """
    now = Visible.parse(_one(db, "SELECT pg_current_snapshot()::text"))
    found: set[str] = set()
    for view in map(Visible.parse, witness.snapshots.values()):
        unseen = [str(number) for number in (*sorted(view.running), *range(view.end, min(now.end, view.end + MANY)))]
        found |= {row[0] for row in db.execute(EARLY, (unseen, str(now.end))).fetchall()}
    return sorted(found, key=int)
