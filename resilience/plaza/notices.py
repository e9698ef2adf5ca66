"""Notices: a vendor's letter that names posts and a day; every post it names goes straight into the queue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

from resilience.plaza.db import Connection, one, rows
from resilience.plaza.errors import PlazaError, not_found
from resilience.plaza.ids import new_id
from resilience.plaza.rules import LAW

NAMED = re.compile(r"(?:^|/)(\d{1,19})/?(?:[?#].*)?$")
"""An id alone, or the end of an address such as https://plaza.test/@name/123."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What a vendor wrote."""

    vendor: str
    reference: str
    due_at: datetime
    posts: Sequence[str]
    text: str = ""
    rule: str = LAW


def status_of(given: str) -> int | None:
    """The id in what a letter names; None where there is none."""
    found = NAMED.search(given.strip())
    value = int(found[1]) if found else None
    return value if value is not None and value < 1 << 63 else None


async def add(conn: Connection, letter: Letter) -> dict[str, Any]:
    """Put a letter's posts into the queue; the same letter again is the same notice."""
    _check(letter)
    notice_id = new_id()
    made = await one(conn, ADD, notice_id, letter.vendor, letter.reference, letter.text, letter.due_at)
    if made is None:
        known = await one(
            conn, "SELECT id FROM notices WHERE vendor = %s AND reference = %s", letter.vendor, letter.reference
        )
        assert known is not None
        await _same(conn, known["id"], letter)
        return {**await show(conn, known["id"]), "again": True}
    named = list(dict.fromkeys(given.strip() for given in letter.posts if given.strip()))
    async with conn.cursor() as cursor:
        await cursor.executemany(NAME, [(notice_id, n, given, status_of(given)) for n, given in enumerate(named)])
    await _queue(conn, notice_id, letter)
    return {**await show(conn, notice_id), "again": False}


ADD: LiteralString = """
INSERT INTO notices (id, vendor, reference, letter, due_at) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (vendor, reference) DO NOTHING RETURNING id
"""
NAME: LiteralString = "INSERT INTO notice_posts (notice_id, position, given, status_id) VALUES (%s, %s, %s, %s)"
SAME: LiteralString = """
SELECT n.due_at, array_agg(p.given ORDER BY p.position) AS given
FROM notices n JOIN notice_posts p ON p.notice_id = n.id WHERE n.id = %s GROUP BY n.id
"""


def _check(letter: Letter) -> None:
    what = "The notice was not added"
    if not letter.vendor.strip() or not letter.reference.strip():
        raise PlazaError(what, "vendor or reference is empty", "Give both; they tell one letter from another.")
    if not any(given.strip() for given in letter.posts):
        raise PlazaError(what, "it names no post", "Give addresses or ids, one a line.")
    if letter.due_at.tzinfo is None:
        raise PlazaError(what, "its day has no time zone", "Write for example 2026-01-02T12:00:00Z.")


async def _same(conn: Connection, notice_id: int, letter: Letter) -> None:
    row = await one(conn, SAME, notice_id)
    given = list(dict.fromkeys(text.strip() for text in letter.posts if text.strip()))
    if row is None or row["due_at"] != letter.due_at or row["given"] != given:
        raise PlazaError(
            "The notice was not added",
            f"{letter.vendor} already has a notice '{letter.reference}' with other posts or another day",
            "Give this letter a reference of its own, such as the old one with a number behind it.",
        )


async def _queue(conn: Connection, notice_id: int, letter: Letter) -> None:
    """One report a post that is here, so that several moderators can share the letter."""
    found = await rows(
        conn,
        "SELECT DISTINCT s.id, s.account_id FROM notice_posts p JOIN statuses s ON s.id = p.status_id "
        "WHERE p.notice_id = %s ORDER BY s.id",
        notice_id,
    )
    comment = f"{letter.vendor}, {letter.reference}"
    async with conn.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO reports (id, target_account_id, status_ids, category, comment, notice_id, due_at, rule_ids) "
            "VALUES (%s, %s, %s, 'legal', %s, %s, %s, %s)",
            [
                (new_id(), row["account_id"], [row["id"]], comment, notice_id, letter.due_at, [letter.rule])
                for row in found
            ],
        )


async def show(conn: Connection, notice_id: int) -> dict[str, Any]:
    """A notice, and what became of every post that it names."""
    notice = await one(conn, "SELECT * FROM notices WHERE id = %s", notice_id)
    if notice is None:
        raise not_found()
    posts = await rows(conn, STATES, notice_id)
    states = [row["state"] for row in posts]
    return {
        "notice": str(notice_id),
        "vendor": notice["vendor"],
        "reference": notice["reference"],
        "due_at": notice["due_at"].astimezone(UTC).isoformat(),
        "received_at": notice["received_at"].isoformat(),
        "named": len(posts),
        **{state: states.count(state) for state in STATE_WORDS},
        "posts": [
            {**row, "status_id": None if row["status_id"] is None else str(row["status_id"]), "rule": row["rule"]}
            for row in posts
        ],
    }


STATE_WORDS = ("open", "kept", "hidden", "removed", "unknown")
STATES: LiteralString = """
SELECT p.given, p.status_id, d.rule, d.reason, d.seq, d.created_at::text AS decided_at,
    CASE
        WHEN l.status_id IS NOT NULL THEN 'removed'
        WHEN s.id IS NULL THEN 'unknown'
        WHEN s.hidden_at IS NOT NULL OR a.suspended_at IS NOT NULL THEN 'hidden'
        WHEN r.action_taken_at IS NOT NULL THEN 'kept'
        ELSE 'open'
    END AS state
FROM notice_posts p
LEFT JOIN statuses s ON s.id = p.status_id
LEFT JOIN accounts a ON a.id = s.account_id
LEFT JOIN LATERAL (SELECT action_taken_at FROM reports
    WHERE notice_id = p.notice_id AND status_ids = ARRAY[p.status_id] LIMIT 1) r ON true
LEFT JOIN LATERAL (SELECT status_id FROM ledger
    WHERE status_id = p.status_id AND action IN ('takedown', 'erase-status') LIMIT 1) l ON true
LEFT JOIN LATERAL (SELECT rule, reason, seq, created_at FROM decisions
    WHERE status_id = p.status_id ORDER BY id DESC LIMIT 1) d ON true
WHERE p.notice_id = %s ORDER BY p.position
"""


async def everyone(conn: Connection) -> list[dict[str, Any]]:
    """All notices, the next deadline first; those with nothing open last."""
    found = await rows(
        conn,
        """SELECT n.id::text AS notice, n.vendor, n.reference, n.due_at, n.received_at,
            (SELECT count(*) FROM notice_posts p WHERE p.notice_id = n.id)::int AS named,
            (SELECT count(*) FROM reports r WHERE r.notice_id = n.id AND r.action_taken_at IS NULL)::int AS open
        FROM notices n ORDER BY (SELECT bool_or(r.action_taken_at IS NULL) FROM reports r WHERE r.notice_id = n.id)
            DESC NULLS LAST, n.due_at LIMIT 200""",
    )
    return [dict(row) for row in found]
