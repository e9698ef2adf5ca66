"""Mentions: @name in a post, or being answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resilience.plaza.db import Connection, rows
from resilience.plaza.notify import MENTION, notify
from resilience.plaza.text import MENTION as NAMED

MOST = 20


@dataclass(frozen=True, slots=True)
class Mention:
    """Somebody who is named in a post."""

    id: int
    username: str


def names_in(text: str) -> list[str]:
    """Names that a text mentions, in lower case, each once."""
    return list(dict.fromkeys(found.lower() for found in NAMED.findall(text)))[:MOST]


async def write_mentions(conn: Connection, author: int, post_id: int, text: str, parent_author: int | None) -> None:
    """Remember who is named in a post, and tell them and whoever it answers."""
    named = names_in(text)
    found = await rows(conn, "SELECT id FROM accounts WHERE lower(username) = ANY(%s)", named) if named else []
    ids = [row["id"] for row in found]
    await conn.execute("DELETE FROM mentions WHERE status_id = %s", (post_id,))
    for one in ids:
        await conn.execute("INSERT INTO mentions (status_id, account_id) VALUES (%s, %s)", (post_id, one))
    for one in dict.fromkeys([*ids, *([parent_author] if parent_author else [])]):
        await notify(conn, one, MENTION, author, post_id)


async def of_posts(conn: Connection, ids: Sequence[int]) -> dict[int, tuple[Mention, ...]]:
    """Mentions by post."""
    found = await rows(
        conn,
        "SELECT m.status_id, a.id, a.username FROM mentions m JOIN accounts a ON a.id = m.account_id "
        "WHERE m.status_id = ANY(%s) ORDER BY a.id",
        list(ids),
    )
    by: dict[int, tuple[Mention, ...]] = {}
    for row in found:
        by[row["status_id"]] = (*by.get(row["status_id"], ()), Mention(row["id"], row["username"]))
    return by
