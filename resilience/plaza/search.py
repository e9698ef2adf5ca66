"""Search: posts by their words, people by their names."""

from __future__ import annotations

import re
from typing import LiteralString

from resilience.plaza import accounts, posts
from resilience.plaza.accounts import Account
from resilience.plaza.db import Connection, rows
from resilience.plaza.paging import Page
from resilience.plaza.posts import Post

LONGEST = 200
LINKED = re.compile(r"/@\w{1,30}/(\d{1,18})/?$")
MATCHES: LiteralString = """WHERE s.id IN
    (SELECT id FROM search_posts WHERE words @@ websearch_to_tsquery('simple', %(q)s)) AND (s.visibility = 'public' OR s.account_id = %(me)s) AND"""


async def find_posts(conn: Connection, text: str, me: int | None, page: Page) -> list[Post]:
    """Public posts and one's own that have all these words, newest first; an address finds its post."""
    text = _clean(text)
    linked = LINKED.search(text)
    if linked:
        return await posts.by_ids(conn, [int(linked[1])], me)
    if not text:
        return []
    return await posts.page_of(conn, MATCHES + posts.ALLOWED + "AND" + posts.WANTED, page, {"q": text, "me": me})


async def find_people(conn: Connection, text: str, limit: int, offset: int = 0) -> list[Account]:
    """People whose username begins so, then those with the words in their name."""
    text = _clean(text).lstrip("@")
    if not text:
        return []
    begins = re.sub(r"([\\%_])", r"\\\1", text.lower()) + "%"
    values = {"begins": begins, "q": text, "limit": limit, "offset": offset}
    found = await rows(conn, PEOPLE, values)
    people = await accounts.many(conn, [row["id"] for row in found])
    return [people[row["id"]] for row in found if row["id"] in people]


PEOPLE: LiteralString = """
SELECT id FROM (
    (SELECT id, lower(username) AS name, 0 AS rank FROM accounts
        WHERE lower(username) LIKE %(begins)s AND suspended_at IS NULL ORDER BY lower(username) LIMIT 200)
    UNION
    (SELECT id, lower(username), 1 FROM accounts WHERE id IN
        (SELECT id FROM search_people WHERE words @@ websearch_to_tsquery('simple', %(q)s))
        AND lower(username) NOT LIKE %(begins)s AND suspended_at IS NULL LIMIT 200)
) found ORDER BY rank, length(name), name LIMIT %(limit)s OFFSET %(offset)s
"""


def _clean(text: str) -> str:
    return text.replace("\x00", "").strip()[:LONGEST]
