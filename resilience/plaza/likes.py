"""Favourites, which others see, and bookmarks, which nobody else does."""

from __future__ import annotations

from typing import LiteralString

from resilience.plaza import accounts, posts
from resilience.plaza.accounts import Account
from resilience.plaza.db import Connection, rows
from resilience.plaza.ids import new_id
from resilience.plaza.notify import FAVOURITE, notify
from resilience.plaza.paging import Page
from resilience.plaza.posts import Post


async def favourite(conn: Connection, me: int, post_id: int) -> Post:
    """Like a post that I may see, and tell its author; again is no error."""
    post = await posts.by_id(conn, post_id, me)
    await conn.execute(
        "INSERT INTO favourites (id, account_id, status_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (new_id(), me, post_id),
    )
    await notify(conn, post.account.id, FAVOURITE, me, post_id)
    return await posts.by_id(conn, post_id, me)


async def unfavourite(conn: Connection, me: int, post_id: int) -> Post:
    """Like it no longer."""
    await conn.execute("DELETE FROM favourites WHERE account_id = %s AND status_id = %s", (me, post_id))
    return await posts.by_id(conn, post_id, me)


async def bookmark(conn: Connection, me: int, post_id: int) -> Post:
    """Find a post again later."""
    await posts.by_id(conn, post_id, me)
    await conn.execute(
        "INSERT INTO bookmarks (id, account_id, status_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (new_id(), me, post_id),
    )
    return await posts.by_id(conn, post_id, me)


async def unbookmark(conn: Connection, me: int, post_id: int) -> Post:
    """Forget it."""
    await conn.execute("DELETE FROM bookmarks WHERE account_id = %s AND status_id = %s", (me, post_id))
    return await posts.by_id(conn, post_id, me)


async def favourites(conn: Connection, me: int, page: Page) -> tuple[list[Post], list[int]]:
    """What I liked, newest like first, and the likes' own ids to go on from."""
    return await _mine(conn, "SELECT id, status_id FROM favourites", me, page)


async def bookmarks(conn: Connection, me: int, page: Page) -> tuple[list[Post], list[int]]:
    """What I bookmarked, newest bookmark first, and the bookmarks' own ids to go on from."""
    return await _mine(conn, "SELECT id, status_id FROM bookmarks", me, page)


async def who(conn: Connection, post_id: int, me: int | None) -> list[Account]:
    """Who likes a post, newest first."""
    await posts.by_id(conn, post_id, me)
    found = await rows(
        conn, "SELECT account_id FROM favourites WHERE status_id = %s ORDER BY id DESC LIMIT 80", post_id
    )
    people = await accounts.many(conn, [row["account_id"] for row in found])
    return [people[row["account_id"]] for row in found if row["account_id"] in people]


async def _mine(conn: Connection, sql: LiteralString, me: int, page: Page) -> tuple[list[Post], list[int]]:
    order: LiteralString = "ASC" if page.upwards else "DESC"
    bounds: LiteralString = " WHERE account_id = %(me)s AND id < %(below)s AND id > %(above)s ORDER BY id "
    found = await rows(conn, sql + bounds + order + " LIMIT %(limit)s", {"me": me, "limit": page.limit, **page.bounds})
    found.sort(key=lambda row: row["id"], reverse=True)
    seen = {post.id: post for post in await posts.by_ids(conn, [row["status_id"] for row in found], me)}
    return [seen[r["status_id"]] for r in found if r["status_id"] in seen], [r["id"] for r in found]
