"""Notifications: what others did, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import LiteralString

from psycopg.rows import DictRow

from resilience.plaza import accounts, posts
from resilience.plaza.accounts import Account
from resilience.plaza.db import Connection, one, rows
from resilience.plaza.errors import not_found
from resilience.plaza.notify import FAVOURITE, FOLLOW
from resilience.plaza.paging import Page
from resilience.plaza.posts import Post

GROUPED = (FAVOURITE, FOLLOW)
"""What many people do alike."""
COLUMNS: LiteralString = "id, kind, from_account_id, status_id, created_at"


@dataclass(frozen=True, slots=True)
class Notification:
    """Somebody did something that concerns me."""

    id: int
    kind: str
    account: Account
    post: Post | None
    created_at: datetime


async def of(
    conn: Connection, me: int, page: Page, *, kinds: list[str] | None = None, by: int | None = None
) -> list[Notification]:
    """A page of my notifications."""
    order: LiteralString = "ASC" if page.upwards else "DESC"
    sql: LiteralString = (
        "SELECT " + COLUMNS + " FROM notifications WHERE account_id = %(me)s AND id < %(below)s AND id > %(above)s "
        "AND (%(kinds)s::text[] IS NULL OR kind = ANY(%(kinds)s)) "
        "AND (%(by)s::bigint IS NULL OR from_account_id = %(by)s) ORDER BY id " + order + " LIMIT %(limit)s"
    )
    found = await rows(conn, sql, {"me": me, "kinds": kinds, "by": by, "limit": page.limit, **page.bounds})
    return await _full(conn, me, found[::-1] if page.upwards else found)


async def by_id(conn: Connection, me: int, notification_id: int) -> Notification:
    """One of my notifications."""
    sql: LiteralString = "SELECT " + COLUMNS + " FROM notifications WHERE id = %s AND account_id = %s"
    row = await one(conn, sql, notification_id, me)
    if row is None:
        raise not_found()
    return (await _full(conn, me, [row]))[0]


async def alike(conn: Connection, me: int, kind: str, which: str) -> list[Notification]:
    """My notifications of one kind, newest first: about one post, or, where there is none, of one day (YYYYMMDD)."""
    sql: LiteralString = (
        "SELECT " + COLUMNS + " FROM notifications WHERE account_id = %(me)s AND kind = %(kind)s AND "
        "coalesce(status_id::text, to_char(created_at AT TIME ZONE 'UTC', 'YYYYMMDD')) = %(which)s "
        "ORDER BY id DESC LIMIT 1000"
    )
    return await _full(conn, me, await rows(conn, sql, {"me": me, "kind": kind, "which": which}))


def in_groups(found: Sequence[Notification], grouped: Sequence[str] = GROUPED) -> dict[str, list[Notification]]:
    """Those that say the same, by what they have in common: likes of one post, and who follows since one day."""
    groups: dict[str, list[Notification]] = {}
    for told in found:
        groups.setdefault(_key(told, grouped), []).append(told)
    return groups


def _key(one: Notification, grouped: Sequence[str]) -> str:
    if one.kind not in grouped:
        return f"ungrouped-{one.id}"
    return f"{one.kind}-{one.post.id if one.post else f'{one.created_at.astimezone(UTC):%Y%m%d}'}"


async def clear(conn: Connection, me: int) -> None:
    """Forget all of them."""
    await conn.execute("DELETE FROM notifications WHERE account_id = %s", (me,))


async def dismiss(conn: Connection, me: int, notification_id: int) -> None:
    """Forget one."""
    await conn.execute("DELETE FROM notifications WHERE account_id = %s AND id = %s", (me, notification_id))


async def unread(conn: Connection, me: int) -> int:
    """How many came after what I read last; counting ends at a hundred."""
    row = await one(conn, UNREAD, {"me": me})
    return int(row["n"]) if row else 0


UNREAD: LiteralString = """
SELECT count(*)::int AS n FROM (SELECT 1 FROM notifications WHERE account_id = %(me)s AND id > coalesce(
    (SELECT last_read_id FROM markers WHERE account_id = %(me)s AND timeline = 'notifications'), 0) LIMIT 100) new
"""


async def mark(conn: Connection, me: int, timeline: str, last_read: int) -> DictRow:
    """Remember how far I read a timeline."""
    row = await one(
        conn,
        """INSERT INTO markers (account_id, timeline, last_read_id) VALUES (%s, %s, %s)
        ON CONFLICT (account_id, timeline) DO UPDATE SET last_read_id = excluded.last_read_id,
            version = markers.version + 1, updated_at = now() RETURNING *""",
        me, timeline, last_read,
    )  # fmt: skip
    assert row is not None
    return row


async def markers(conn: Connection, me: int, timelines: list[str]) -> list[DictRow]:
    """How far I read."""
    return await rows(conn, "SELECT * FROM markers WHERE account_id = %s AND timeline = ANY(%s)", me, timelines)


async def _full(conn: Connection, me: int, found: list[DictRow]) -> list[Notification]:
    people = await accounts.many(conn, list({row["from_account_id"] for row in found}))
    seen = {post.id: post for post in await posts.by_ids(conn, [r["status_id"] for r in found if r["status_id"]], me)}
    return [
        Notification(r["id"], r["kind"], people[r["from_account_id"]], seen.get(r["status_id"]), r["created_at"])
        for r in found
        if r["status_id"] is None or r["status_id"] in seen
    ]
