"""Dropped pictures: edited out, replaced, or uploaded for a post that never came. The ledger names them, so no copy keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from resilience.plaza import erasure
from resilience.plaza.db import Connection, one
from resilience.plaza.errors import Refused
from resilience.plaza.state import Plaza

DROP: LiteralString = (
    "UPDATE media SET status_id = NULL, position = 0, purpose = 'post', created_at = '-infinity' WHERE "
)


async def drop(conn: Connection, ids: Sequence[int]) -> None:
    """Nothing shows these pictures any more."""
    await conn.execute(DROP + "id = ANY(%s)", (list(ids),))


async def out_of_post(conn: Connection, owner: int, post_id: int, keep: Sequence[int]) -> None:
    """Drop a post's pictures, but these."""
    sql: LiteralString = DROP + "status_id = %s AND account_id = %s AND id <> ALL(%s::bigint[])"
    await conn.execute(sql, (post_id, owner, list(keep)))


async def out_of_profile(conn: Connection, owner: int, purpose: str) -> None:
    """Drop somebody's avatar or header."""
    await conn.execute(DROP + "account_id = %s AND purpose = %s", (owner, purpose))


async def never_posted(conn: Connection) -> None:
    """Drop what waited for a day for its post."""
    await conn.execute(
        DROP + "status_id IS NULL AND purpose = 'post' AND created_at < now() - interval '1 day' "
        "AND created_at > '-infinity'"
    )


async def erase(plaza: Plaza) -> None:
    """Whatever was dropped goes, by an entry of the ledger; returns once that is held elsewhere."""
    async with plaza.db.read() as conn:
        if await one(conn, "SELECT 1 FROM media WHERE " + erasure.DROPPED + " LIMIT 1") is None:
            return
    try:
        await plaza.record(erasure.erase_dropped())
    except Refused:
        return  # somebody else's entry names it
