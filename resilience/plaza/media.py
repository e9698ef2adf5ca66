"""Media: the rows that name pictures. A row is committed only after its file is safe on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import LiteralString

from psycopg.rows import DictRow

from resilience.plaza import persons
from resilience.plaza.db import Connection, one, rows
from resilience.plaza.erasure import PICTURES, picture_lock
from resilience.plaza.errors import Refused, not_found
from resilience.plaza.ids import new_id
from resilience.plaza.pictures import EXTENSIONS, Picture
from resilience.plaza.store import Store

MAX_DESCRIPTION = 1500
COLUMNS: LiteralString = "id, account_id, status_id, sha256, mime, bytes, width, height, description, sealed"
A_PICTURE: LiteralString = "purpose IN ('post', 'avatar', 'header')"
"""Persons' keys and keyrings have rows here, too."""


@dataclass(frozen=True, slots=True)
class Media:
    """A picture in a post, or waiting for one."""

    id: int
    status_id: int | None
    sha256: str
    mime: str
    bytes: int
    width: int
    height: int
    description: str

    @property
    def path(self) -> str:
        """Where it is served."""
        return f"/media/{self.sha256}.{EXTENSIONS[self.mime]}"


async def add(
    conn: Connection, store: Store, owner: int, picture: Picture, description: str, purpose: str = "post"
) -> Media:
    """Keep a picture and its row, in this order, while nobody may remove the same one.

    Its owner's row comes first, as with whoever erases an account: so neither waits for the other. The file is on its way into vaults
    from here on, so its row stays whatever becomes of the post: as one that waits for a post, which goes after a day, or with its owner.
    """
    check_description(description)
    await conn.execute("SELECT FROM accounts WHERE id = %s FOR KEY SHARE", (owner,))
    media_id = new_id()
    sealed = await _seal(conn, owner, media_id, description)
    await conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (PICTURES, picture_lock(picture.sha256)))
    await asyncio.to_thread(store.put, picture)
    async with conn.db.apart() as other:
        size = (len(picture.data), picture.width, picture.height)
        await other.execute(WAITS, (media_id, owner, picture.sha256, picture.mime, *size, sealed))
    sql: LiteralString = "UPDATE media SET purpose = %s WHERE id = %s RETURNING " + COLUMNS
    row = await one(conn, sql, purpose, media_id)
    assert row is not None
    return (await _read(conn, [row]))[0]


WAITS: LiteralString = (
    "INSERT INTO media (id, account_id, sha256, mime, bytes, width, height, sealed, purpose) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, 'post')"
)


async def own(conn: Connection, owner: int, media_id: int) -> Media:
    """One of my pictures."""
    sql: LiteralString = "SELECT " + COLUMNS + " FROM media WHERE id = %s AND account_id = %s AND " + A_PICTURE
    row = await one(conn, sql, media_id, owner)
    if row is None:
        raise not_found()
    return (await _read(conn, [row]))[0]


async def describe(conn: Connection, owner: int, media_id: int, description: str) -> Media:
    """Say what is in one of my pictures, for people who can't see it."""
    check_description(description)
    found = await own(conn, owner, media_id)
    sealed = await _seal(conn, owner, media_id, description)
    await conn.execute("UPDATE media SET sealed = %s, description = '' WHERE id = %s", (sealed, media_id))
    return replace(found, description=description)


async def attach(conn: Connection, owner: int, post_id: int, ids: Sequence[int]) -> None:
    """Put waiting pictures of this person into their post, in the order given."""
    if not ids:
        return
    cursor = await conn.execute(
        """UPDATE media SET status_id = %s, position = array_position(%s::bigint[], id)
        WHERE id = ANY(%s) AND account_id = %s AND purpose = 'post' AND created_at > '-infinity'
            AND (status_id IS NULL OR status_id = %s)""",
        (post_id, list(ids), list(ids), owner, post_id),
    )
    if cursor.rowcount != len(set(ids)):
        raise Refused(422, "Validation failed: A picture doesn't exist or is in another post")


async def of_posts(conn: Connection, ids: Sequence[int]) -> dict[int, tuple[Media, ...]]:
    """Pictures by post, in order."""
    sql: LiteralString = "SELECT " + COLUMNS + " FROM media WHERE status_id = ANY(%s) ORDER BY status_id, position"
    found: dict[int, tuple[Media, ...]] = {}
    for item in await _read(conn, await rows(conn, sql, list(ids))):
        if item.status_id is not None:
            found[item.status_id] = (*found.get(item.status_id, ()), item)
    return found


async def _read(conn: Connection, found: Sequence[DictRow]) -> list[Media]:
    """Pictures from their rows; a description that opens for nobody says so."""
    keys = await persons.keys_of(conn, {row["account_id"] for row in found if row["sealed"]})
    for row in found:
        key, sealed = keys.get(row.pop("account_id")), row.pop("sealed")
        [row["description"]] = persons.unsealed(conn, key, f"media/{row['id']}", sealed, row["description"])
    return [Media(**row) for row in found]


async def _seal(conn: Connection, owner: int, media_id: int, description: str) -> bytes | None:
    """A description sealed for its picture; where there is none, nothing."""
    return await persons.seal(conn, owner, f"media/{media_id}", description) if description else None


async def mime_of(conn: Connection, sha256: str) -> str | None:
    """The type of a picture that somebody may see; None when no row names it, or only what is hidden or dropped does."""
    row = await one(conn, MIME, sha256)
    return str(row["mime"]) if row else None


MIME: LiteralString = (
    "SELECT m.mime FROM media m JOIN accounts a ON a.id = m.account_id LEFT JOIN statuses s ON s.id = m.status_id "
    "WHERE m.sha256 = %s AND a.suspended_at IS NULL AND s.hidden_at IS NULL AND m.created_at > '-infinity' AND "
    + A_PICTURE
    + " LIMIT 1"
)


def check_description(text: str) -> None:
    """Refuse a description that is too long."""
    if len(text) > MAX_DESCRIPTION or "\x00" in text:
        raise Refused(422, f"Validation failed: Description may have up to {MAX_DESCRIPTION} characters")
