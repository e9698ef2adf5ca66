"""Accounts: who people are, and whom they follow."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import LiteralString

import psycopg
from psycopg.rows import DictRow

from resilience.plaza import persons
from resilience.plaza.db import Connection, one, rows
from resilience.plaza.errors import Refused, not_found
from resilience.plaza.ids import new_id
from resilience.plaza.keys import GONE
from resilience.plaza.mail import is_address
from resilience.plaza.notify import FOLLOW, notify

NAME = re.compile(r"[A-Za-z0-9_]{1,30}\Z")
RESERVED = frozenset(
    (
        "about",
        "admin",
        "administrator",
        "api",
        "healthz",
        "help",
        "login",
        "logout",
        "media",
        "moderation",
        "moderator",
        "oauth",
        "owner",
        "plaza",
        "posts",
        "public",
        "readyz",
        "register",
        "root",
        "search",
        "settings",
        "static",
        "support",
        "system",
        "waiting",
        "confirm",
        "endpoints",
        "offline",
        "metrics",
        "webmaster",
    )
)
MIN_PASSWORD, MAX_PASSWORD = 8, 256
MAX_DISPLAY_NAME, MAX_NOTE = 60, 500

COLUMNS: LiteralString = (
    "id, username, display_name, note, role, created_at, "
    "followers_count, following_count, statuses_count, last_status_at, suspended_at, avatar, header, fields, key_sha256, sealed"
)

KNOWN = tuple(column.strip() for column in COLUMNS.split(","))


@dataclass(frozen=True, slots=True)
class Account:
    """A person, as others may see them."""

    id: int
    username: str
    display_name: str
    note: str
    role: str
    created_at: datetime
    followers_count: int
    following_count: int
    statuses_count: int
    last_status_at: date | None
    suspended_at: datetime | None
    avatar: str | None
    """Path of the picture that this person chose."""
    header: str | None
    fields: list[list[str]]
    """What they say of themselves: name and value."""
    key_sha256: str | None = None
    """The key that what they wrote is sealed with, by its name."""

    @property
    def is_moderator(self) -> bool:
        """Whether this person may take posts down."""
        return self.role == "moderator" and self.suspended_at is None

    @property
    def shown_name(self) -> str:
        """The display name, or the username where there is none."""
        return self.display_name or self.username


@dataclass(frozen=True, slots=True)
class Relationship:
    """How one person stands to another."""

    id: int
    following: bool
    followed_by: bool
    blocking: bool
    blocked_by: bool
    muting: bool
    muting_notifications: bool


def check_registration(
    username: str, password: str, email: str | None, *, agreement: bool
) -> dict[str, tuple[str, str]]:
    """What is wrong with a registration: field → (Mastodon's error code, sentence)."""
    problems: dict[str, tuple[str, str]] = {}
    if not username:
        problems["username"] = ("ERR_BLANK", "can't be blank")
    elif not NAME.match(username):
        problems["username"] = ("ERR_INVALID", "must be 1 to 30 letters, digits or underscores")
    elif username.lower() in RESERVED:
        problems["username"] = ("ERR_RESERVED", "is reserved")
    if len(password) < MIN_PASSWORD:
        problems["password"] = ("ERR_TOO_SHORT", f"must have at least {MIN_PASSWORD} characters")
    elif len(password) > MAX_PASSWORD:
        problems["password"] = ("ERR_TOO_LONG", f"may have up to {MAX_PASSWORD} characters")
    if email is not None and not (re.fullmatch(r"[^@\s]{1,64}@[^@\s]{1,190}", email) and is_address(email)):
        problems["email"] = ("ERR_INVALID", "is not an e-mail address")
    if not agreement:
        problems["agreement"] = ("ERR_ACCEPTED", "must be accepted")
    return problems


def check_password(password: str) -> None:
    """Refuse a password that is too short or too long."""
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise Refused(422, f"Validation failed: Password must have {MIN_PASSWORD} to {MAX_PASSWORD} characters")


async def set_password(conn: Connection, account_id: int, password_hash: str) -> None:
    """From now on this is the password."""
    await conn.execute("UPDATE accounts SET password_hash = %s WHERE id = %s", (password_hash, account_id))


def refused(problems: dict[str, tuple[str, str]]) -> Refused:
    """The 422 that Mastodon's clients understand."""
    sentences = [f"{field.capitalize()} {text}" for field, (_, text) in problems.items()]
    details = {f: [{"error": code, "description": text}] for f, (code, text) in problems.items()}
    return Refused(422, "Validation failed: " + ", ".join(sentences), details)


async def create(conn: Connection, username: str, password_hash: str, email: str | None) -> Account:
    """A new account; refuses a name or address that is taken."""
    sql: LiteralString = (
        "INSERT INTO accounts (id, username, password_hash, email) VALUES (%s, %s, %s, %s) RETURNING " + COLUMNS
    )
    try:
        async with conn.transaction():
            row = await one(conn, sql, new_id(), username, password_hash, email)
    except psycopg.errors.UniqueViolation as error:
        field = "email" if error.diag.constraint_name == "accounts_email" else "username"
        raise refused({field: ("ERR_TAKEN", "has already been taken")}) from None
    assert row is not None
    return read(conn, row)


def read(conn: Connection, row: DictRow) -> Account:
    """An account from its row; whose profile opens for nobody has a name alone."""
    known = {column: row[column] for column in KNOWN}
    if (sealed := known.pop("sealed")) is not None:
        name, note, fields = conn.keys.open(row["key_sha256"], _row(row["id"]), sealed) or ("", GONE, "[]")
        known |= {"display_name": name, "note": note, "fields": json.loads(fields)}
    return Account(**known)


async def write_profile(conn: Connection, one: Account) -> None:
    """Keep what somebody says of themselves, sealed."""
    texts = (one.display_name, one.note, json.dumps(one.fields))
    sealed = await persons.seal(conn, one.id, _row(one.id), *texts)
    await conn.execute(
        "UPDATE accounts SET sealed = %s, display_name = '', note = '', fields = '[]' WHERE id = %s", (sealed, one.id)
    )


def _row(account_id: int) -> str:
    return f"accounts/{account_id}"


async def credentials(conn: Connection, login: str) -> tuple[int, str] | None:
    """Id and password hash for a username or an e-mail address."""
    sql: LiteralString = "SELECT id, password_hash FROM accounts WHERE lower(username) = lower(%s)"
    if "@" in login.lstrip("@"):
        sql = "SELECT id, password_hash FROM accounts WHERE lower(email) = lower(%s)"
    row = await one(conn, sql, login.lstrip("@"))
    return (row["id"], row["password_hash"]) if row else None


async def by_id(conn: Connection, account_id: int) -> Account:
    """The account with this id."""
    row = await one(conn, "SELECT " + COLUMNS + " FROM accounts WHERE id = %s", account_id)
    if row is None:
        raise not_found()
    return read(conn, row)


async def by_name(conn: Connection, username: str) -> Account:
    """The account with this username, whatever the case."""
    sql: LiteralString = "SELECT " + COLUMNS + " FROM accounts WHERE lower(username) = lower(%s)"
    row = await one(conn, sql, username)
    if row is None:
        raise not_found()
    return read(conn, row)


async def many(conn: Connection, ids: list[int]) -> dict[int, Account]:
    """Accounts by id; ids that nobody has are left out."""
    found = await rows(conn, "SELECT " + COLUMNS + " FROM accounts WHERE id = ANY(%s)", ids)
    return {row["id"]: read(conn, row) for row in found}


async def follow(conn: Connection, account_id: int, target_id: int) -> None:
    """Follow somebody; again is no error."""
    if account_id == target_id:
        raise Refused(403, "You can't follow yourself")
    if await one(conn, APART, {"me": account_id, "other": target_id}):
        raise Refused(403, "This action is not allowed")
    sql: LiteralString = "INSERT INTO follows (account_id, target_id) VALUES (%s, %s) ON CONFLICT DO NOTHING"
    try:
        async with conn.transaction():
            await conn.execute(sql, (account_id, target_id))
    except psycopg.errors.ForeignKeyViolation:
        raise not_found() from None
    await notify(conn, target_id, FOLLOW, account_id)


APART: LiteralString = """
SELECT 1 FROM blocks WHERE (account_id = %(me)s AND target_id = %(other)s)
    OR (account_id = %(other)s AND target_id = %(me)s)
"""


async def unfollow(conn: Connection, account_id: int, target_id: int) -> None:
    """Stop following; again is no error."""
    sql: LiteralString = "DELETE FROM follows WHERE account_id = %s AND target_id = %s"
    await conn.execute(sql, (account_id, target_id))


async def relationships(conn: Connection, me: int, others: list[int]) -> list[Relationship]:
    """How I stand to others, in the order asked; unknown ids are left out."""
    found = await rows(
        conn,
        """SELECT a.id,
            EXISTS (SELECT 1 FROM follows WHERE account_id = %(me)s AND target_id = a.id) AS following,
            EXISTS (SELECT 1 FROM follows WHERE account_id = a.id AND target_id = %(me)s) AS followed_by,
            EXISTS (SELECT 1 FROM blocks WHERE account_id = %(me)s AND target_id = a.id) AS blocking,
            EXISTS (SELECT 1 FROM blocks WHERE account_id = a.id AND target_id = %(me)s) AS blocked_by,
            m.account_id IS NOT NULL AS muting, coalesce(m.notifications, false) AS muting_notifications
        FROM accounts a LEFT JOIN mutes m ON m.account_id = %(me)s AND m.target_id = a.id
            AND (m.expires_at IS NULL OR m.expires_at > now())
        WHERE a.id = ANY(%(others)s)""",
        {"me": me, "others": others},
    )
    by = {row["id"]: Relationship(**row) for row in found}
    return [by[other] for other in others if other in by]


async def following(conn: Connection, account_id: int) -> list[Account]:
    """Whom somebody follows, newest first."""
    sql: LiteralString = "SELECT target_id FROM follows WHERE account_id = %s ORDER BY created_at DESC LIMIT 200"
    return await _in_order(conn, [row["target_id"] for row in await rows(conn, sql, account_id)])


async def followers(conn: Connection, account_id: int) -> list[Account]:
    """Who follows somebody, newest first."""
    sql: LiteralString = "SELECT account_id FROM follows WHERE target_id = %s ORDER BY created_at DESC LIMIT 200"
    return await _in_order(conn, [row["account_id"] for row in await rows(conn, sql, account_id)])


async def _in_order(conn: Connection, ids: list[int]) -> list[Account]:
    found = await many(conn, ids)
    return [found[one] for one in ids if one in found]
