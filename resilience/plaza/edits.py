"""Edits: a post says something else from now on, and everybody can see what it said before."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from psycopg.rows import DictRow

from resilience.plaza import dropped, media, persons, posts, words
from resilience.plaza.db import Connection, one, rows
from resilience.plaza.errors import not_found
from resilience.plaza.ids import new_id
from resilience.plaza.mentions import write_mentions
from resilience.plaza.posts import NewPost, Post

KEEP: LiteralString = """
INSERT INTO status_edits (id, status_id, sealed, sensitive, created_at)
SELECT %(id)s, id, %(sealed)s, sensitive, coalesce(edited_at, created_at) FROM statuses s WHERE id = %(post)s
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
        before = await posts.by_id(conn, post_id, author)
        await _keep(conn, author, post_id, before.text, before.spoiler_text)
    sealed = await persons.seal(conn, author, posts.row_of(post_id), new.text, new.spoiler_text)
    await conn.execute(
        "UPDATE statuses SET sealed = %s, text = '', spoiler_text = '', sensitive = %s, "
        "language = coalesce(%s, language), edited_at = now() WHERE id = %s",
        (sealed, new.sensitive or bool(new.spoiler_text), new.language, post_id),
    )
    await _keep(conn, author, post_id, new.text, new.spoiler_text)
    await words.put_post(conn, post_id, new.text, new.spoiler_text)
    await dropped.out_of_post(conn, author, post_id, new.media_ids)
    await media.attach(conn, author, post_id, new.media_ids)
    await write_mentions(conn, author, post_id, new.text, None)
    return await posts.by_id(conn, post_id, author)


async def _keep(conn: Connection, author: int, post_id: int, text: str, spoiler_text: str) -> None:
    """A version, sealed for its own row."""
    edit_id = new_id()
    sealed = await persons.seal(conn, author, _row(edit_id), text, spoiler_text)
    await conn.execute(KEEP, {"id": edit_id, "post": post_id, "sealed": sealed})


def _row(edit_id: int) -> str:
    return f"status_edits/{edit_id}"


async def history(conn: Connection, post: Post) -> list[Version]:
    """All versions, oldest first; one that was never edited has one."""
    found = await rows(
        conn,
        "SELECT id, sealed, text, spoiler_text, sensitive, created_at FROM status_edits WHERE status_id = %s ORDER BY id",
        post.id,
    )
    return [_version(conn, post, row) for row in found] or [
        Version(post.text, post.spoiler_text, post.sensitive, post.created_at)
    ]


def _version(conn: Connection, post: Post, row: DictRow) -> Version:
    key, clear = post.account.key_sha256, (row["text"], row["spoiler_text"])
    text, spoiler = persons.unsealed(conn, key, _row(row["id"]), row["sealed"], *clear)
    return Version(text, spoiler, row["sensitive"], row["created_at"])
