"""Edits: a post says something else from now on, and everybody can see what it said before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from resilience.plaza import media, posts
from resilience.plaza.db import Connection, one, rows
from resilience.plaza.errors import not_found
from resilience.plaza.ids import new_id
from resilience.plaza.mentions import write_mentions
from resilience.plaza.posts import NewPost, Post

KEEP: LiteralString = """
INSERT INTO status_edits (id, status_id, text, spoiler_text, sensitive, created_at)
SELECT %(id)s, id, text, spoiler_text, sensitive, coalesce(edited_at, created_at) FROM statuses s WHERE id = %(post)s
"""


@dataclass(frozen=True, slots=True)
class Version:
    """What a post said at some time."""

    text: str
    spoiler_text: str
    sensitive: bool
    created_at: datetime


async def edit(conn: Connection, author: int, post_id: int, new: NewPost) -> Post:
    """Change one of my posts; what it said before is kept with it, and goes when it goes."""
    posts.check(new)
    row = await one(
        conn, "SELECT edited_at FROM statuses WHERE id = %s AND account_id = %s FOR UPDATE", post_id, author
    )
    if row is None:
        raise not_found()
    if row["edited_at"] is None:
        await conn.execute(KEEP, {"id": new_id(), "post": post_id})
    await conn.execute(
        "UPDATE statuses SET text = %s, spoiler_text = %s, sensitive = %s, language = coalesce(%s, language), "
        "edited_at = now() WHERE id = %s",
        (new.text, new.spoiler_text, new.sensitive or bool(new.spoiler_text), new.language, post_id),
    )
    await conn.execute(KEEP, {"id": new_id(), "post": post_id})
    await media.rearrange(conn, author, post_id, new.media_ids)
    await write_mentions(conn, author, post_id, new.text, None)
    return await posts.by_id(conn, post_id, author)


async def history(conn: Connection, post: Post) -> list[Version]:
    """All versions, oldest first; one that was never edited has one."""
    found = await rows(
        conn,
        "SELECT text, spoiler_text, sensitive, created_at FROM status_edits WHERE status_id = %s ORDER BY id",
        post.id,
    )
    return [Version(**row) for row in found] or [Version(post.text, post.spoiler_text, post.sensitive, post.created_at)]
