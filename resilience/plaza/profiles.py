"""Profiles: the name, text, fields and two pictures that people show of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import LiteralString

from resilience.plaza import accounts, dropped, media, words
from resilience.plaza.accounts import MAX_DISPLAY_NAME, MAX_NOTE, Account, refused
from resilience.plaza.db import Connection, one
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
    """From now on this is somebody's avatar or header; the one before is dropped. One change at a time for each person."""
    await conn.execute(SHOWN[purpose], (None, owner))
    await dropped.out_of_profile(conn, owner, purpose)
    made = await media.add(conn, store, owner, picture, "", purpose)
    await conn.execute(SHOWN[purpose], (made.path, owner))
    return await accounts.by_id(conn, owner)


async def hide(conn: Connection, owner: int, purpose: str) -> Account:
    """Somebody shows no avatar or header any more."""
    await conn.execute(SHOWN[purpose], (None, owner))
    await dropped.out_of_profile(conn, owner, purpose)
    return await accounts.by_id(conn, owner)


SHOWN: dict[str, LiteralString] = {
    "avatar": "UPDATE accounts SET avatar = %s WHERE id = %s",
    "header": "UPDATE accounts SET header = %s WHERE id = %s",
}
