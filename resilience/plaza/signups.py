"""Sign-ups: the line that people stand in until there is an account for them. No place is lost or used twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg.rows import DictRow

from resilience.plaza import accounts
from resilience.plaza.bearer import digest
from resilience.plaza.db import Connection, one, rows
from resilience.plaza.errors import Refused, not_found

WAITING, UNCONFIRMED, DONE, REFUSED = "waiting", "unconfirmed", "done", "refused"
COUNTED = 10_000
"""Nobody is told more exactly how many wait before them."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody stands."""

    id: int
    username: str
    state: str
    before: int
    """How many wait before them."""
    account_id: int | None
    mailed: bool
    unreachable: bool
    """Whether mail for their address was refused, and is tried again."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """The next in line, as whoever opens the door sees them."""

    id: int
    username: str
    email: str | None
    sealed: bytes
    token_hash: bytes | None


@dataclass(frozen=True, slots=True)
class Letter:
    """Somebody who has to be sent a link."""

    id: int
    username: str
    email: str


async def join(conn: Connection, ticket: str, username: str, sealed: bytes, email: str | None = None) -> Place:
    """Stand in line; the same ticket again is the same place. Refuses a name that is taken."""
    hashed = digest(ticket)
    values = {"ticket": hashed, "username": username, "email": email, "sealed": sealed}
    field = "email"
    try:
        async with conn.transaction():
            await conn.execute(JOIN, values)
    except psycopg.errors.UniqueViolation as error:
        # The same form sent twice at once may meet itself at the name before it does at the ticket.
        field = "email" if error.diag.constraint_name == "signups_email" else "username"
    if place := await _by_ticket(conn, hashed):
        return place
    if await rows(conn, "SELECT 1 FROM accounts WHERE lower(username) = lower(%s)", username):
        field = "username"
    raise _taken(field)


JOIN: LiteralString = """
INSERT INTO signups (ticket_hash, username, email, sealed) SELECT %(ticket)s, %(username)s, %(email)s, %(sealed)s
WHERE NOT EXISTS (SELECT 1 FROM accounts WHERE lower(username) = lower(%(username)s))
    AND NOT EXISTS (SELECT 1 FROM accounts WHERE lower(email) = lower(%(email)s))
ON CONFLICT (ticket_hash) DO NOTHING"""


async def look(conn: Connection, ticket: str) -> Place | None:
    """Where a ticket stands; None when there is no such place any more."""
    return await _by_ticket(conn, digest(ticket))


async def length(conn: Connection) -> int:
    """How many wait."""
    row = await one(conn, "SELECT count(*) AS n FROM signups WHERE state = 'waiting'")
    return int(row["n"]) if row else 0


async def take(conn: Connection, count: int, since: datetime | None = None) -> list[Applicant]:
    """The next in line (of those who came since), held by this transaction; whoever else asks gets others."""
    found = await rows(
        conn,
        "SELECT id, username, email, sealed, token_hash FROM signups WHERE state = 'waiting' "
        "AND created_at > coalesce(%s, '-infinity'::timestamptz) ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED",
        since,
        count,
    )
    return [_applicant(row) for row in found]


async def let_in(conn: Connection, who: Applicant, password_hash: str) -> int | None:
    """Make the account; None when its name was taken meanwhile."""
    try:
        made = await accounts.create(conn, who.username, password_hash, who.email)
    except Refused:
        await _become(conn, who.id, REFUSED)
        return None
    await _become(conn, who.id, DONE, made.id)
    if who.token_hash is not None:
        await conn.execute("UPDATE oauth_tokens SET account_id = %s WHERE token_hash = %s", (made.id, who.token_hash))
    return made.id


async def ask_to_confirm(conn: Connection, who: Applicant, password_hash: str) -> None:
    """Keep the place until the person has proved their address; there is no account before that."""
    await conn.execute(
        "UPDATE signups SET state = 'unconfirmed', sealed = NULL, password_hash = %s, changed_at = now() WHERE id = %s",
        (password_hash, who.id),
    )


async def unmailed(conn: Connection, count: int) -> list[Letter]:
    """Who still has to be sent a link, whoever was not tried before first."""
    found = await rows(
        conn,
        "SELECT id, username, email FROM signups WHERE state = 'unconfirmed' AND mailed_at IS NULL "
        "AND email IS NOT NULL AND mail_due <= now() ORDER BY mail_due, id LIMIT %s",
        count,
    )
    return [Letter(**row) for row in found]


async def expect(conn: Connection, place: int, confirm_hash: bytes) -> None:
    """From now on this link is the one that confirms."""
    await conn.execute("UPDATE signups SET confirm_hash = %s WHERE id = %s", (confirm_hash, place))


async def mailed(conn: Connection, place: int) -> None:
    """A provider took the letter."""
    await conn.execute("UPDATE signups SET mailed_at = now(), changed_at = now() WHERE id = %s", (place,))


async def to_the_end(conn: Connection, place: int) -> None:
    """The letters of all others go first."""
    await conn.execute("UPDATE signups SET mail_due = now() WHERE id = %s", (place,))


async def in_a_minute(conn: Connection, place: int) -> None:
    """This letter was not taken, and nobody knows whether the address is why."""
    await conn.execute("UPDATE signups SET mail_due = now() + interval '1 minute' WHERE id = %s", (place,))


async def put_off(conn: Connection, place: int) -> None:
    """This letter was refused: it is tried again after a minute, then after twice as long each time, for two days from now."""
    await conn.execute(
        "UPDATE signups SET mail_tries = mail_tries + 1, changed_at = CASE mail_tries WHEN 0 THEN now() ELSE changed_at END, "
        "mail_due = now() + make_interval(mins => least(1 << least(mail_tries, 9), 360)) WHERE id = %s",
        (place,),
    )


async def confirmable(conn: Connection, secret: str) -> str:
    """Whose link this is; refuses one that leads nowhere any more."""
    row = await one(conn, "SELECT username FROM signups WHERE confirm_hash = %s", digest(secret))
    if row is None:
        raise not_found()
    return str(row["username"])


async def confirm(conn: Connection, secret: str) -> int | None:
    """Make the account of whoever proved their address; None when its name was taken meanwhile."""
    row = await one(
        conn,
        "SELECT id, username, email, password_hash, token_hash FROM signups "
        "WHERE confirm_hash = %s AND state = 'unconfirmed' FOR UPDATE",
        digest(secret),
    )
    if row is None:
        raise not_found()
    who = Applicant(row["id"], row["username"], row["email"], b"", row["token_hash"])
    return await let_in(conn, who, row["password_hash"])


async def promise(conn: Connection, place: int, token_hash: bytes) -> bool:
    """Give a token to the account once it is there; False when this place waits no longer."""
    row = await one(
        conn,
        "UPDATE signups SET token_hash = %s WHERE id = %s AND state IN ('waiting', 'unconfirmed') RETURNING id",
        token_hash,
        place,
    )
    return row is not None


async def _become(conn: Connection, place: int, state: str, account_id: int | None = None) -> None:
    await conn.execute(
        "UPDATE signups SET state = %s, account_id = %s, sealed = NULL, password_hash = NULL, confirm_hash = NULL, "
        "changed_at = now() WHERE id = %s",
        (state, account_id, place),
    )


def _taken(field: str) -> Refused:
    return accounts.refused({field: ("ERR_TAKEN", "has already been taken")})


PLACE: LiteralString = (
    "SELECT id, username, state, account_id, mailed_at IS NOT NULL AS mailed, mail_tries > 0 AS unreachable, CASE state WHEN 'waiting' THEN "
    "(SELECT count(*) FROM (SELECT 1 FROM signups b WHERE b.state = 'waiting' AND b.id < s.id LIMIT 10000) f) "
    "ELSE 0 END AS before "
    "FROM signups s WHERE ticket_hash = %s AND (state <> 'done' OR changed_at > now() - interval '15 minutes')"
)


async def _by_ticket(conn: Connection, hashed: bytes) -> Place | None:
    row = await one(conn, PLACE, hashed)
    return Place(**row) if row else None


def _applicant(row: DictRow) -> Applicant:
    token = row["token_hash"]
    return Applicant(
        row["id"], row["username"], row["email"], bytes(row["sealed"]), None if token is None else bytes(token)
    )


EXPIRED: Sequence[LiteralString] = (
    "DELETE FROM signups WHERE state IN ('done', 'refused') AND changed_at < now() - interval '1 hour'",
    "DELETE FROM signups WHERE state = 'unconfirmed' AND changed_at < now() - interval '2 days' "
    "AND (mailed_at IS NOT NULL OR mail_tries > 0)",
)
"""What nobody needs any more: places that were used, and addresses that nobody confirmed; not whom no provider had a letter for."""
