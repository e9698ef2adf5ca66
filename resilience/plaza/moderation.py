"""Reports: what people want moderators to see, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg

from resilience.plaza import accounts, persons, posts
from resilience.plaza.accounts import Account
from resilience.plaza.db import Connection, one, rows
from resilience.plaza.errors import Refused, not_found
from resilience.plaza.ids import new_id
from resilience.plaza.paging import Page
from resilience.plaza.posts import Post
from resilience.plaza.rules import check_rule

CATEGORIES = ("spam", "legal", "violation", "other")
MAX_COMMENT = 1000
COLUMNS: LiteralString = (
    "id, account_id, target_account_id, status_ids, category, sealed, comment, assigned_account_id, "
    "action_taken, action_taken_at, action_taken_by, created_at, updated_at, notice_id, due_at, claimed_at, rule_ids"
)


@dataclass(frozen=True, slots=True)
class Report:
    """One report, with everybody in it."""

    id: int
    reporter: Account | None
    target: Account | None
    assigned: Account | None
    decided_by: Account | None
    status_ids: tuple[int, ...]
    posts: tuple[Post, ...]
    category: str
    comment: str
    action_taken: str | None
    action_taken_at: datetime | None
    created_at: datetime
    updated_at: datetime
    notice_id: int | None
    due_at: datetime | None
    claimed_at: datetime | None
    rule_ids: tuple[str, ...]


async def report(
    conn: Connection, reporter: int, target: int, status_ids: list[int], category: str, comment: str,
    rule_ids: Sequence[str] = (),
) -> Report:  # fmt: skip
    """Tell the moderators about somebody's posts."""
    if category not in CATEGORIES:
        raise Refused(422, f"Validation failed: Category must be one of {', '.join(CATEGORIES)}")
    if len(comment) > MAX_COMMENT:
        raise Refused(422, f"Validation failed: Comment may have up to {MAX_COMMENT} characters")
    for rule in rule_ids:
        check_rule(rule)
    await accounts.by_id(conn, target)
    seen = await posts.by_ids(conn, status_ids, reporter)
    if len(seen) != len(set(status_ids)) or any(post.account.id != target for post in seen):
        raise not_found()
    sql: LiteralString = (
        "INSERT INTO reports (id, account_id, target_account_id, status_ids, category, sealed, rule_ids) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING " + COLUMNS
    )
    report_id = new_id()
    sealed = await persons.seal(conn, reporter, _row(report_id), comment) if comment else None
    row = await one(conn, sql, report_id, reporter, target, status_ids, category, sealed, list(rule_ids))
    assert row is not None
    return (await _full(conn, [row]))[0]


async def queue(conn: Connection, page: Page, *, resolved: bool = False) -> list[Report]:
    """Reports, newest first: the open ones, or those that were decided."""
    state: LiteralString = "IS NOT NULL" if resolved else "IS NULL"
    sql: LiteralString = (
        "SELECT " + COLUMNS + " FROM reports WHERE action_taken_at " + state
        + " AND id < %(below)s AND id > %(above)s ORDER BY id DESC LIMIT %(limit)s"
    )  # fmt: skip
    cursor = await conn.execute(sql, {**page.bounds, "limit": page.limit})
    return await _full(conn, await cursor.fetchall())


async def by_id(conn: Connection, report_id: int) -> Report:
    """One report."""
    row = await one(conn, "SELECT " + COLUMNS + " FROM reports WHERE id = %s", report_id)
    if row is None:
        raise not_found()
    return (await _full(conn, [row]))[0]


async def waiting(conn: Connection, limit: int = 40) -> list[Report]:
    """Open reports in the order to look at them: deadlines first, then whoever waits longest."""
    sql: LiteralString = (
        "SELECT " + COLUMNS + " FROM reports WHERE action_taken_at IS NULL "
        "ORDER BY coalesce(due_at, 'infinity'), id LIMIT %s"
    )
    return await _full(conn, await rows(conn, sql, limit))


async def claim(conn: Connection, report_id: int, moderator: int) -> Report:
    """Claim a report, unless another moderator is at it; one that is decided is returned as it is."""
    row = await one(conn, CLAIM, {"id": report_id, "me": moderator})
    report = await by_id(conn, report_id)
    if row is None and report.action_taken is None:
        who = report.assigned.username if report.assigned else "another moderator"
        raise Refused(409, f"{who} is looking at this report. Take another one, or ask them to give it back.")
    return report


async def claim_next(conn: Connection, moderator: int, count: int) -> list[Report]:
    """Claim the next reports that nobody looks at; several moderators never get the same one."""
    found = await rows(conn, CLAIM_NEXT, {"me": moderator, "count": count})
    sql: LiteralString = (
        "SELECT " + COLUMNS + " FROM reports WHERE id = ANY(%s) ORDER BY coalesce(due_at, 'infinity'), id"
    )
    return await _full(conn, await rows(conn, sql, [row["id"] for row in found]))


async def give_back(conn: Connection, report_id: int) -> Report:
    """Nobody looks at this report any more."""
    sql: LiteralString = (
        "UPDATE reports SET assigned_account_id = NULL, claimed_at = NULL, updated_at = now() "
        "WHERE id = %s RETURNING id"
    )
    return await _changed(conn, await one(conn, sql, report_id))


FREE: LiteralString = """ action_taken_at IS NULL AND (assigned_account_id IS NULL OR assigned_account_id = %(me)s
    OR claimed_at IS NULL OR claimed_at < now() - interval '30 minutes') """
CLAIM: LiteralString = (
    "UPDATE reports SET assigned_account_id = %(me)s, claimed_at = now(), updated_at = now() WHERE id = %(id)s AND"
    + FREE
    + "RETURNING id"
)
CLAIM_NEXT: LiteralString = (
    "UPDATE reports SET assigned_account_id = %(me)s, claimed_at = now(), updated_at = now() WHERE id IN "
    "(SELECT id FROM reports WHERE" + FREE + "ORDER BY coalesce(due_at, 'infinity'), id LIMIT %(count)s "
    "FOR UPDATE SKIP LOCKED) RETURNING id"
)


async def lock(conn: Connection, report_id: int) -> bool:
    """Whether a report is open, which nobody else changes until the transaction ends."""
    row = await one(conn, "SELECT action_taken_at FROM reports WHERE id = %s FOR UPDATE", report_id)
    return row is not None and row["action_taken_at"] is None


async def resolve(conn: Connection, report_id: int, moderator: int, action: str) -> Report:
    """Close a report; one that is closed keeps its first decision."""
    sql: LiteralString = (
        "UPDATE reports SET action_taken = coalesce(action_taken, %s), updated_at = now(), "
        "action_taken_at = coalesce(action_taken_at, now()), "
        "action_taken_by = coalesce(action_taken_by, %s) WHERE id = %s RETURNING id"
    )
    return await _changed(conn, await one(conn, sql, action, moderator, report_id))


async def reopen(conn: Connection, report_id: int) -> Report:
    """Put a report back into the queue."""
    sql: LiteralString = (
        "UPDATE reports SET action_taken = NULL, action_taken_at = NULL, action_taken_by = NULL, "
        "updated_at = now() WHERE id = %s RETURNING id"
    )
    return await _changed(conn, await one(conn, sql, report_id))


async def credit(conn: Connection, status_id: int, moderator: int) -> None:
    """Name who decided, on the reports that a takedown closed."""
    await conn.execute(
        "UPDATE reports SET action_taken_by = %s WHERE status_ids @> ARRAY[%s]::bigint[] "
        "AND action_taken = 'removed' AND action_taken_by IS NULL",
        (moderator, status_id),
    )


async def _changed(conn: Connection, row: psycopg.rows.DictRow | None) -> Report:
    if row is None:
        raise not_found()
    return await by_id(conn, row["id"])


async def _full(conn: Connection, found: list[psycopg.rows.DictRow]) -> list[Report]:
    roles = ("account_id", "target_account_id", "assigned_account_id", "action_taken_by")
    people = await accounts.many(conn, list({r[k] for r in found for k in roles if r[k]}))
    ids = list({status for row in found for status in row["status_ids"]})
    seen = {post.id: post for post in await posts.everything(conn, ids)}
    return [
        Report(
            id=row["id"],
            reporter=people.get(row["account_id"]),
            target=people.get(row["target_account_id"]),
            assigned=people.get(row["assigned_account_id"]),
            decided_by=people.get(row["action_taken_by"]),
            status_ids=tuple(row["status_ids"]),
            posts=tuple(seen[i] for i in row["status_ids"] if i in seen),
            rule_ids=tuple(row["rule_ids"]),
            comment=comment_of(conn, people.get(row["account_id"]), row),
            **{k: row[k] for k in KEPT},
        )
        for row in found
    ]


def comment_of(conn: Connection, reporter: Account | None, row: psycopg.rows.DictRow) -> str:
    """What whoever reported said; it opens for nobody once they erased their account."""
    key = reporter.key_sha256 if reporter else None
    return persons.unsealed(conn, key, _row(row["id"]), row["sealed"], row["comment"])[0]


def _row(report_id: int) -> str:
    return f"reports/{report_id}"


KEPT = (
    "category", "action_taken", "action_taken_at", "created_at", "updated_at", "notice_id", "due_at",
    "claimed_at",
)  # fmt: skip


async def recent_entries(conn: Connection, limit: int = 20) -> list[psycopg.rows.DictRow]:
    """The newest ledger entries that this database has applied."""
    return await rows(
        conn,
        "SELECT seq, action, status_id, account_id, applied_at FROM ledger ORDER BY seq DESC LIMIT %s",
        limit,
    )


async def removing_entry(conn: Connection, status_id: int) -> int | None:
    """The number of the ledger entry that removed a post, if one did."""
    sql: LiteralString = (
        "SELECT seq FROM ledger WHERE status_id = %s AND action IN ('takedown', 'erase-status') LIMIT 1"
    )
    row = await one(conn, sql, status_id)
    return None if row is None else int(row["seq"])
