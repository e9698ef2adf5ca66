"""Profiles: the name, text, fields and two pictures that people show of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import LiteralString

from resilience.plaza import accounts, media, words
from resilience.plaza.accounts import MAX_DISPLAY_NAME, MAX_NOTE, Account, refused
from resilience.plaza.db import Connection, one, rows
from resilience.plaza.erasure import PICTURES, picture_lock
from resilience.plaza.errors import not_found
from resilience.plaza.pictures import Picture
from resilience.plaza.store import Store

SHAPES = {"avatar": (400, 400), "header": (1500, 500)}
"""What each picture is cut to, in pixels, as Mastodon does."""
MAX_FIELDS, MAX_FIELD = 4, 255
LONGEST = {"display_name": MAX_DISPLAY_NAME, "note": MAX_NOTE}


async def update(
    conn: Connection,
    account_id: int,
    texts: Mapping[str, str | None],
    fields: Sequence[tuple[str, str]] | None = None,
) -> Account:
    """Change name, note or fields; what is None stays as it is."""
    for name, text in texts.items():
        if text is not None and len(text) > LONGEST[name]:
            raise refused({name: ("ERR_TOO_LONG", f"may have up to {LONGEST[name]} characters")})
    if await one(conn, "SELECT 1 FROM accounts WHERE id = %s FOR NO KEY UPDATE", account_id) is None:
        raise not_found()
    changes: dict[str, object] = {name: text for name, text in texts.items() if text is not None}
    if fields is not None:
        changes["fields"] = [list(pair) for pair in _checked(fields)]
    changed = replace(await accounts.by_id(conn, account_id), **changes)  # type: ignore[arg-type]
    await accounts.write_profile(conn, changed)
    await words.put_person(conn, changed)
    return changed


def _checked(fields: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without empty ones; refused where there are too many, or one is too long."""
    kept = [(name.strip(), value.strip()) for name, value in fields if name.strip() or value.strip()]
    if len(kept) > MAX_FIELDS:
        raise refused({"fields": ("ERR_TOO_MANY", f"may be up to {MAX_FIELDS}")})
    if any(len(text) > MAX_FIELD for field in kept for text in field):
        raise refused({"fields": ("ERR_TOO_LONG", f"may have up to {MAX_FIELD} characters each")})
    if any("\x00" in text for field in kept for text in field):
        raise refused({"fields": ("ERR_INVALID", "hold something that can't be stored")})
    return kept


async def show(conn: Connection, store: Store, owner: int, purpose: str, picture: Picture) -> Account:
    """From now on this is somebody's avatar or header; the one before is gone, unless a post shows it."""
    before = await _forget(conn, owner, purpose)
    await _lock(conn, [*before, picture.sha256])
    made = await media.add(conn, store, owner, picture, "", purpose)
    await conn.execute(SHOWN[purpose], (made.path, owner))
    await _remove(conn, store, before)
    return await accounts.by_id(conn, owner)


async def hide(conn: Connection, store: Store, owner: int, purpose: str) -> Account:
    """Somebody shows no avatar or header any more."""
    before = await _forget(conn, owner, purpose)
    await _lock(conn, before)
    await _remove(conn, store, before)
    return await accounts.by_id(conn, owner)


async def _forget(conn: Connection, owner: int, purpose: str) -> list[str]:
    """Nobody is shown the one before, and no row of a profile names it; one change at a time for each person."""
    await conn.execute(SHOWN[purpose], (None, owner))
    sql: LiteralString = "DELETE FROM media WHERE account_id = %s AND purpose = %s RETURNING sha256"
    return [row["sha256"] for row in await rows(conn, sql, owner, purpose)]


async def _lock(conn: Connection, pictures: Sequence[str]) -> None:
    """Nobody else stores or removes these meanwhile; in one order, so that two people never wait for each other."""
    for bucket in sorted({picture_lock(sha) for sha in pictures}):
        await conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (PICTURES, bucket))


async def _remove(conn: Connection, store: Store, pictures: Sequence[str]) -> None:
    """Remove files that no row names any more."""
    for sha in pictures:
        if not await rows(conn, "SELECT 1 FROM media WHERE sha256 = %s LIMIT 1", sha):
            await asyncio.to_thread(store.remove, sha)


SHOWN: dict[str, LiteralString] = {
    "avatar": "UPDATE accounts SET avatar = %s WHERE id = %s",
    "header": "UPDATE accounts SET header = %s WHERE id = %s",
}
