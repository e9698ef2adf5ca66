"""Push subscriptions: which device wants to be told of what, and the messages that wait to be sent."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString
from urllib.parse import urlsplit

from psycopg.rows import DictRow

from resilience.plaza import accounts, posts
from resilience.plaza.db import Connection, one, rows
from resilience.plaza.errors import Refused, not_found

ALERTS = ("mention", "status", "reblog", "follow", "follow_request", "favourite", "poll", "update", "admin.report")
POLICIES = ("all", "followed", "follower", "none")
COLUMNS: LiteralString = "id, endpoint, p256dh, auth, alerts, policy"
BY_TOKEN: LiteralString = "token_hash"  # noqa: S105 (a column)
BY_SESSION: LiteralString = "session_hash"
POINT, SECRET, LONGEST = 65, 16, 2048
TRIES = 8


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where a device can be reached, and the key that only it can open messages with."""

    id: int
    endpoint: str
    p256dh: str
    auth: str
    alerts: tuple[str, ...]
    policy: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a device asks for."""

    endpoint: str
    p256dh: str
    auth: str
    alerts: tuple[str, ...]
    policy: str = "all"


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message for one device."""

    id: int
    subscription: Subscription
    notification_id: int
    kind: str
    by: str
    status_id: int | None
    text: str
    owner: str
    tries: int


def check(wanted: Wanted) -> Wanted:
    """Refuse what nothing could be sent to."""
    parts = urlsplit(wanted.endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or len(wanted.endpoint) > LONGEST:
        raise Refused(422, "Validation failed: Endpoint must be an address")
    if _length(wanted.p256dh) != POINT or _length(wanted.auth) != SECRET:
        raise Refused(422, "Validation failed: Keys are not those of a push subscription")
    if wanted.policy not in POLICIES:
        raise Refused(422, f"Validation failed: Policy must be one of {', '.join(POLICIES)}")
    return wanted


async def put(conn: Connection, account_id: int, by: LiteralString, key: bytes, wanted: Wanted) -> Subscription:
    """One subscription for a token or a session: a new one takes the place of the old."""
    check(wanted)
    sql: LiteralString = (
        "INSERT INTO push_subscriptions (account_id, endpoint, p256dh, auth, alerts, policy, " + by + ") "
        "VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (" + by + ") DO UPDATE SET endpoint = excluded.endpoint, "
        "p256dh = excluded.p256dh, auth = excluded.auth, alerts = excluded.alerts, policy = excluded.policy "
        "RETURNING " + COLUMNS
    )
    values = (wanted.endpoint, wanted.p256dh, wanted.auth, list(wanted.alerts), wanted.policy)
    row = await one(conn, sql, account_id, *values, key)
    assert row is not None
    return _subscription(row)


async def get(conn: Connection, by: LiteralString, key: bytes) -> Subscription:
    """The subscription of a token or a session."""
    row = await one(conn, "SELECT " + COLUMNS + " FROM push_subscriptions WHERE " + by + " = %s", key)
    if row is None:
        raise not_found()
    return _subscription(row)


async def change(conn: Connection, key: bytes, alerts: Sequence[str], policy: str | None) -> Subscription:
    """Other alerts, or another policy, for the same device."""
    if policy is not None and policy not in POLICIES:
        raise Refused(422, f"Validation failed: Policy must be one of {', '.join(POLICIES)}")
    sql: LiteralString = (
        "UPDATE push_subscriptions SET alerts = %s, policy = coalesce(%s, policy) WHERE token_hash = %s "
        "RETURNING " + COLUMNS
    )
    row = await one(conn, sql, list(alerts), policy, key)
    if row is None:
        raise not_found()
    return _subscription(row)


async def remove(conn: Connection, by: LiteralString, key: bytes) -> None:
    """Tell this device nothing any more; again is no error."""
    await conn.execute("DELETE FROM push_subscriptions WHERE " + by + " = %s", (key,))


async def take(conn: Connection, count: int) -> list[Parcel]:
    """Messages that are due; nobody else gets them for a minute."""
    found = await rows(conn, TAKE, count)
    people = await accounts.many(conn, [row["from_account_id"] for row in found])
    told = await posts.everything(conn, [row["status_id"] for row in found if row["status_id"]])
    texts = {post.id: post.spoiler_text or post.text for post in told}
    return [
        Parcel(
            row["queue_id"], _subscription(row), row["notification_id"], row["kind"],
            people[row["from_account_id"]].shown_name, row["status_id"], texts.get(row["status_id"], ""),
            row["owner"], row["tries"],
        )
        for row in found if row["from_account_id"] in people
    ]  # fmt: skip


TAKE: LiteralString = """
WITH due AS (
    UPDATE push_queue SET due = now() + interval '1 minute', tries = tries + 1 WHERE id IN
        (SELECT id FROM push_queue WHERE due <= now() ORDER BY due LIMIT %s FOR UPDATE SKIP LOCKED)
    RETURNING id, subscription_id, notification_id, tries)
SELECT due.id AS queue_id, due.notification_id, due.tries, p.id, p.endpoint, p.p256dh, p.auth, p.alerts, p.policy,
    n.kind, n.from_account_id, n.status_id, o.username AS owner
FROM due JOIN push_subscriptions p ON p.id = due.subscription_id JOIN notifications n ON n.id = due.notification_id
    JOIN accounts a ON a.id = n.from_account_id LEFT JOIN statuses s ON s.id = n.status_id
    LEFT JOIN accounts o ON o.id = coalesce(s.account_id, a.id)"""


async def sent(conn: Connection, parcel: Parcel) -> None:
    """It arrived, or nobody tries again."""
    await conn.execute("DELETE FROM push_queue WHERE id = %s", (parcel.id,))


async def later(conn: Connection, parcel: Parcel) -> None:
    """It did not arrive: again after twice as long, and not for ever."""
    if parcel.tries >= TRIES:
        await sent(conn, parcel)
        return
    sql: LiteralString = "UPDATE push_queue SET due = now() + make_interval(secs => %s) WHERE id = %s"
    await conn.execute(sql, (5 * 2**parcel.tries, parcel.id))


async def gone(conn: Connection, parcel: Parcel) -> None:
    """The device does not exist any more."""
    await conn.execute("DELETE FROM push_subscriptions WHERE id = %s", (parcel.subscription.id,))


def _subscription(row: DictRow) -> Subscription:
    return Subscription(
        row["id"], row["endpoint"], row["p256dh"], row["auth"], tuple(row["alerts"]), row["policy"]
    )  # fmt: skip


def _length(text: str) -> int:
    try:
        return len(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        return 0
