"""Ties that keep people apart: blocks and mutes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import LiteralString

import psycopg

from resilience.plaza import accounts
from resilience.plaza.accounts import Account
from resilience.plaza.db import Connection, rows
from resilience.plaza.errors import Refused, not_found
from resilience.plaza.paging import Page


async def block(conn: Connection, me: int, target: int) -> None:
    """Neither sees the other any more; follows end both ways. Again is no error."""
    _not_myself(me, target)
    await _insert(conn, "INSERT INTO blocks (account_id, target_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", me, target)
    await conn.execute(APART, {"me": me, "other": target})
    await conn.execute("DELETE FROM notifications WHERE account_id = %s AND from_account_id = %s", (me, target))


async def unblock(conn: Connection, me: int, target: int) -> None:
    """End a block."""
    await conn.execute("DELETE FROM blocks WHERE account_id = %s AND target_id = %s", (me, target))


async def mute(conn: Connection, me: int, target: int, *, notifications: bool = True, seconds: int = 0) -> None:
    """Not see somebody in timelines, for ever or for a while."""
    _not_myself(me, target)
    until = datetime.now(UTC) + timedelta(seconds=seconds) if seconds else None
    await _insert(
        conn,
        "INSERT INTO mutes (account_id, target_id, notifications, expires_at) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (account_id, target_id) DO UPDATE SET notifications = excluded.notifications, "
        "expires_at = excluded.expires_at",
        me, target, notifications, until,
    )  # fmt: skip


async def unmute(conn: Connection, me: int, target: int) -> None:
    """See somebody again."""
    await conn.execute("DELETE FROM mutes WHERE account_id = %s AND target_id = %s", (me, target))


async def drop_follower(conn: Connection, me: int, follower: int) -> None:
    """Somebody follows me no longer."""
    await accounts.unfollow(conn, follower, me)


async def blocked(conn: Connection, me: int, page: Page) -> list[Account]:
    """Whom I blocked."""
    return await _page(conn, "SELECT target_id AS id FROM blocks WHERE account_id = %(me)s AND target_id", me, page)


async def muted(conn: Connection, me: int, page: Page) -> list[Account]:
    """Whom I muted."""
    sql: LiteralString = (
        "SELECT target_id AS id FROM mutes WHERE account_id = %(me)s "
        "AND (expires_at IS NULL OR expires_at > now()) AND target_id"
    )
    return await _page(conn, sql, me, page)


async def following(conn: Connection, me: int, page: Page) -> list[Account]:
    """Whom I follow."""
    return await _page(conn, "SELECT target_id AS id FROM follows WHERE account_id = %(me)s AND target_id", me, page)


async def followers(conn: Connection, me: int, page: Page) -> list[Account]:
    """Who follows me."""
    return await _page(conn, "SELECT account_id AS id FROM follows WHERE target_id = %(me)s AND account_id", me, page)


async def _page(conn: Connection, sql: LiteralString, me: int, page: Page) -> list[Account]:
    """People by id, newest account first, so that pages meet however long the list is."""
    order: LiteralString = "ASC" if page.upwards else "DESC"
    bounded: LiteralString = "SELECT id FROM (" + sql + " BETWEEN %(above)s + 1 AND %(below)s - 1) x ORDER BY id "
    found = await rows(conn, bounded + order + " LIMIT %(limit)s", {"me": me, "limit": page.limit, **page.bounds})
    people = await accounts.many(conn, [row["id"] for row in found])
    return [people[one] for one in sorted(people, reverse=True)]


async def _insert(conn: Connection, sql: LiteralString, *values: object) -> None:
    try:
        async with conn.transaction():
            await conn.execute(sql, values)
    except psycopg.errors.ForeignKeyViolation:
        raise not_found() from None


def _not_myself(me: int, target: int) -> None:
    if me == target:
        raise Refused(403, "This action is not allowed")


APART: LiteralString = """
DELETE FROM follows WHERE (account_id = %(me)s AND target_id = %(other)s)
    OR (account_id = %(other)s AND target_id = %(me)s)
"""
