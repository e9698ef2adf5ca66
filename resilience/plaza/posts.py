"""Posts: written once, read often, removed for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import LiteralString

from psycopg.rows import DictRow

from resilience.plaza import accounts, mentions, persons, words
from resilience.plaza.accounts import Account
from resilience.plaza.bearer import digest
from resilience.plaza.db import Connection, one, rows
from resilience.plaza.errors import Refused, not_found
from resilience.plaza.ids import new_id
from resilience.plaza.keys import GONE
from resilience.plaza.media import Media, attach, of_posts
from resilience.plaza.mentions import Mention, write_mentions
from resilience.plaza.paging import Page

MAX_TEXT = 500
MAX_PICTURES = 4
VISIBILITIES = ("public", "unlisted", "private")

COLUMNS: LiteralString = """s.id, s.account_id, s.sealed, s.text, s.spoiler_text, s.sensitive, s.visibility,
    s.language, s.in_reply_to_id, s.in_reply_to_account_id, s.created_at, s.edited_at, s.hidden_at,
    s.favourites_count, apps.name AS app_name, apps.website AS app_website,
    (SELECT count(*) FROM statuses r WHERE r.in_reply_to_id = s.id)::int AS replies_count,
    (SELECT count(*) FROM favourites v WHERE v.account_id = %(me)s AND v.status_id = s.id) > 0 AS favourited,
    (SELECT count(*) FROM bookmarks b WHERE b.account_id = %(me)s AND b.status_id = s.id) > 0 AS bookmarked"""
"""Counted, not EXISTS: Postgres would read all that somebody ever liked to answer EXISTS for twenty posts."""
FROM: LiteralString = " FROM statuses s LEFT JOIN apps ON apps.id = s.app_id "
NOT_HIDDEN: LiteralString = " (s.hidden_at IS NULL OR s.account_id = %(me)s) "
FREE: LiteralString = """ NOT EXISTS
    (SELECT 1 FROM accounts x WHERE x.id = s.account_id AND x.suspended_at IS NOT NULL
        AND x.id IS DISTINCT FROM %(me)s) AND NOT EXISTS
    (SELECT 1 FROM blocks b WHERE b.account_id = s.account_id AND b.target_id = %(me)s) """
ALLOWED: LiteralString = NOT_HIDDEN + "AND" + FREE
"""What moderators hid, who is suspended and who blocked this reader are not there; one's own is."""
VISIBLE: LiteralString = (
    ALLOWED
    + """ AND (s.visibility <> 'private' OR s.account_id = %(me)s OR EXISTS
    (SELECT 1 FROM follows f WHERE f.account_id = %(me)s AND f.target_id = s.account_id)) """
)
WANTED: LiteralString = """ NOT EXISTS
    (SELECT 1 FROM blocks b WHERE b.account_id = %(me)s AND b.target_id = s.account_id) AND NOT EXISTS
    (SELECT 1 FROM mutes m WHERE m.account_id = %(me)s AND m.target_id = s.account_id
        AND (m.expires_at IS NULL OR m.expires_at > now())) """
"""Nor is in a timeline who this reader blocked or muted."""


@dataclass(frozen=True, slots=True)
class Post:
    """A post with everything needed to show it."""

    id: int
    account: Account
    text: str
    spoiler_text: str
    sensitive: bool
    visibility: str
    language: str | None
    in_reply_to_id: int | None
    in_reply_to_account_id: int | None
    created_at: datetime
    edited_at: datetime | None
    hidden_at: datetime | None
    favourites_count: int
    app_name: str | None
    app_website: str | None
    replies_count: int
    favourited: bool
    bookmarked: bool
    media: tuple[Media, ...]
    mentions: tuple[Mention, ...]
    readable: bool
    """Whether what it says is here: its author's key may not be, for now."""


@dataclass(frozen=True, slots=True)
class NewPost:
    """What somebody wants to say."""

    text: str
    media_ids: tuple[int, ...] = ()
    spoiler_text: str = ""
    sensitive: bool = False
    visibility: str = "public"
    language: str | None = None
    in_reply_to_id: int | None = None


def check(new: NewPost) -> None:
    """Refuse what can't be posted, with the reason."""
    if not new.text.strip() and not new.media_ids:
        raise Refused(422, "Validation failed: Text can't be blank")
    if len(new.text) + len(new.spoiler_text) > MAX_TEXT:
        raise Refused(422, f"Validation failed: Text may have up to {MAX_TEXT} characters")
    if len(new.media_ids) > MAX_PICTURES:
        raise Refused(422, f"Validation failed: A post may have up to {MAX_PICTURES} pictures")
    if new.visibility not in VISIBILITIES:
        raise Refused(422, f"Validation failed: Visibility must be one of {', '.join(VISIBILITIES)}")
    if "\x00" in new.text + new.spoiler_text:
        raise Refused(422, "Validation failed: Text has a character that can't be stored")


async def create(conn: Connection, author: int, new: NewPost, app_id: int | None, key: str | None) -> tuple[int, bool]:
    """Store a post; the same idempotency key gives the same post; returns its id, and whether it is new."""
    check(new)
    post_id = new_id()
    if key is not None:
        earlier = await _claim(conn, author, key, post_id)
        if earlier is not None:
            return earlier, False
    parent = await _parent(conn, author, new.in_reply_to_id)
    sealed = await persons.seal(conn, author, row_of(post_id), new.text, new.spoiler_text)
    await conn.execute(
        """INSERT INTO statuses (id, account_id, sealed, sensitive, visibility,
            language, in_reply_to_id, in_reply_to_account_id, app_id, created_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            post_id, author, sealed, new.sensitive or bool(new.spoiler_text),
            new.visibility, new.language, new.in_reply_to_id, parent, app_id, _moment(post_id),
        ),
    )  # fmt: skip
    await words.put_post(conn, post_id, new.text, new.spoiler_text)
    await attach(conn, author, post_id, new.media_ids)
    await write_mentions(conn, author, post_id, new.text, parent)
    return post_id, True


async def _claim(conn: Connection, author: int, key: str, post_id: int) -> int | None:
    """Take a key for this post, or wait for whoever took it and return theirs."""
    key = digest(key).hex()
    await conn.execute(
        "INSERT INTO idempotency (account_id, key, status_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (author, key, post_id),
    )
    row = await one(conn, "SELECT status_id FROM idempotency WHERE account_id = %s AND key = %s", author, key)
    assert row is not None
    return None if row["status_id"] == post_id else int(row["status_id"])


async def _parent(conn: Connection, author: int, parent_id: int | None) -> int | None:
    if parent_id is None:
        return None
    return (await by_id(conn, parent_id, author)).account.id


def _moment(post_id: int) -> datetime:
    return datetime.fromtimestamp((post_id >> 16) / 1000, UTC)


async def by_id(conn: Connection, post_id: int, me: int | None) -> Post:
    """One post, if this reader may see it."""
    sql: LiteralString = "SELECT " + COLUMNS + FROM + "WHERE s.id = %(id)s AND" + VISIBLE
    found = await _posts(conn, sql, {"id": post_id, "me": me})
    if not found:
        raise not_found()
    return found[0]


async def by_ids(conn: Connection, ids: Sequence[int], me: int | None) -> list[Post]:
    """Posts that this reader may see, oldest first."""
    sql: LiteralString = "SELECT " + COLUMNS + FROM + "WHERE s.id = ANY(%(ids)s) AND" + VISIBLE + "ORDER BY s.id"
    return await _posts(conn, sql, {"ids": list(ids), "me": me})


async def everything(conn: Connection, ids: Sequence[int]) -> list[Post]:
    """Posts whoever may see them: for moderators, and only what was reported to them."""
    sql: LiteralString = "SELECT " + COLUMNS + FROM + "WHERE s.id = ANY(%(ids)s) ORDER BY s.id"
    return await _posts(conn, sql, {"ids": list(ids), "me": None})


async def public(conn: Connection, page: Page, me: int | None, *, only_media: bool = False) -> list[Post]:
    """Everybody's public posts, without replies."""
    where: LiteralString = "WHERE s.visibility = 'public' AND s.in_reply_to_id IS NULL AND" + ALLOWED + "AND" + WANTED
    if only_media:
        where += " AND EXISTS (SELECT 1 FROM media m WHERE m.status_id = s.id)"
    return await page_of(conn, where, page, {"me": me})


async def of_account(
    conn: Connection, account_id: int, me: int | None, page: Page,
    *, only_media: bool = False, exclude_replies: bool = False,
) -> list[Post]:  # fmt: skip
    """What one person posted, as far as this reader may see it."""
    where: LiteralString = "WHERE s.account_id = %(author)s AND" + VISIBLE
    if only_media:
        where += " AND EXISTS (SELECT 1 FROM media m WHERE m.status_id = s.id)"
    if exclude_replies:
        where += " AND s.in_reply_to_id IS NULL"
    return await page_of(conn, where, page, {"author": account_id, "me": me})


async def home(conn: Connection, me: int, page: Page) -> list[Post]:
    """My posts and those of everybody I follow: the newest few of each, merged."""
    order: LiteralString = "ASC" if page.upwards else "DESC"
    ids: LiteralString = (
        """SELECT n.id FROM (SELECT s.target_id AS id FROM (SELECT target_id, target_id AS account_id
                FROM follows WHERE account_id = %(me)s) s WHERE """
        + FREE
        + "AND"
        + WANTED
        + """ UNION ALL SELECT %(me)s) who
        CROSS JOIN LATERAL (SELECT s.id FROM statuses s WHERE s.account_id = who.id AND """
        + NOT_HIDDEN
        + """ AND s.id < %(below)s AND s.id > %(above)s ORDER BY s.id """
        + order
        + " LIMIT %(limit)s) n ORDER BY n.id "
        + order
        + " LIMIT %(limit)s"
    )
    values = {"me": me, "limit": page.limit, **page.bounds}
    found = await (await conn.execute(ids, values)).fetchall()
    posts = await by_ids(conn, [row["id"] for row in found], me)
    return posts[::-1]


async def context(conn: Connection, post: Post, me: int | None) -> tuple[list[Post], list[Post]]:
    """What a post answers, and what answers it, oldest first."""
    up = await rows(conn, ANCESTORS, post.in_reply_to_id)
    down = await rows(conn, DESCENDANTS, post.id)
    ancestors = await by_ids(conn, [row["id"] for row in up], me)
    descendants = await by_ids(conn, [row["id"] for row in down], me)
    return ancestors, descendants


ANCESTORS: LiteralString = """WITH RECURSIVE up (id, parent, depth) AS (
    SELECT id, in_reply_to_id, 1 FROM statuses WHERE id = %s
    UNION ALL SELECT s.id, s.in_reply_to_id, depth + 1 FROM statuses s JOIN up ON s.id = up.parent
    WHERE depth < 40) SELECT id FROM up"""
DESCENDANTS: LiteralString = """WITH RECURSIVE down (id, depth) AS (
    SELECT id, 1 FROM statuses WHERE in_reply_to_id = %s
    UNION ALL SELECT s.id, depth + 1 FROM statuses s JOIN down ON s.in_reply_to_id = down.id
    WHERE depth < 20) SELECT id FROM down LIMIT 200"""


async def page_of(conn: Connection, where: LiteralString, page: Page, values: dict[str, object]) -> list[Post]:
    """A page of the posts that a condition finds."""
    order: LiteralString = "ASC" if page.upwards else "DESC"
    bounds: LiteralString = " AND s.id < %(below)s AND s.id > %(above)s ORDER BY s.id "
    sql: LiteralString = "SELECT " + COLUMNS + FROM + where + bounds + order + " LIMIT %(limit)s"
    found = await _posts(conn, sql, {**values, **page.bounds, "limit": page.limit})
    return found[::-1] if page.upwards else found


async def _posts(conn: Connection, sql: LiteralString, values: dict[str, object]) -> list[Post]:
    found = await (await conn.execute(sql, values)).fetchall()
    if not found:
        return []
    authors = await accounts.many(conn, list({row["account_id"] for row in found}))
    for row in found:
        row.update(_opened(conn, authors.get(row["account_id"]), row))
    media = await of_posts(conn, [row["id"] for row in found])
    named = await mentions.of_posts(conn, [row["id"] for row in found if "@" in row["text"]])
    return [
        Post(
            account=authors[row.pop("account_id")],
            media=media.get(row["id"], ()),
            mentions=named.get(row["id"], ()),
            **row,
        )
        for row in found
        if row["account_id"] in authors
    ]


def row_of(post_id: int) -> str:
    """What a post's text is sealed for."""
    return f"statuses/{post_id}"


def _opened(conn: Connection, author: Account | None, row: DictRow) -> dict[str, str | bool]:
    key, sealed = author.key_sha256 if author else None, row.pop("sealed")
    if sealed is None:
        return {"readable": True}
    texts = conn.keys.open(key, row_of(row["id"]), sealed)
    text, spoiler = texts or (GONE, "")
    return {"text": text, "spoiler_text": spoiler, "readable": texts is not None}
