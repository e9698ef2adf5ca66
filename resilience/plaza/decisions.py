"""Decisions: what a moderator makes of a report, with rule and reason, told to whom it concerns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

from psycopg.rows import DictRow

from resilience.plaza import erasure, moderation, persons, posts
from resilience.plaza.db import Connection, one, rows
from resilience.plaza.errors import Refused, not_found
from resilience.plaza.ids import new_id
from resilience.plaza.moderation import Report
from resilience.plaza.rules import NONE, check_rule
from resilience.plaza.state import Plaza
from resilience.plaza.takedowns import check_reason, take_down

KEEP, HIDE, TAKEDOWN, SUSPEND = ACTIONS = ("keep", "hide", "takedown", "suspend")
CLOSES = {KEEP: "kept", HIDE: "hidden", TAKEDOWN: "removed", SUSPEND: "suspended"}


@dataclass(frozen=True, slots=True)
class Choice:
    """What a moderator wants done about a report, and why."""

    action: str
    rule: str
    reason: str
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision as it was made."""

    id: int
    report_id: int | None
    account_id: int | None
    status_id: int | None
    action: str
    rule: str
    reason: str
    moderator_id: int | None
    seq: int | None
    created_at: datetime


COLUMNS: LiteralString = "id, report_id, account_id, status_id, action, rule, reason, moderator_id, seq, created_at"


def check(choice: Choice) -> None:
    """Refuse a decision without reason or rule."""
    if choice.action not in ACTIONS:
        raise Refused(422, f"Validation failed: Action must be one of {', '.join(ACTIONS)}")
    check_rule(choice.rule)
    if choice.action != KEEP:
        check_reason(choice.reason)
        if choice.rule == NONE:
            raise Refused(422, "Validation failed: Rule can't be 'none' unless the post is kept")


async def decide(plaza: Plaza, report_id: int, choice: Choice, moderator: int) -> Report:
    """Decide on a report, once: whoever is second is told so, and nothing happens twice."""
    check(choice)
    async with plaza.db.write() as conn:
        report = await moderation.claim(conn, report_id, moderator)
        if report.action_taken is None and choice.hold and choice.action == TAKEDOWN:
            for post in report.posts:
                await plaza.holds.keep(conn, post)
    if report.action_taken is not None:
        return await _again(plaza, report, choice, moderator)
    subjects = _subjects(report, choice)
    try:
        for status, account in subjects:
            await _do(plaza, choice, moderator, status, account)
    finally:
        # Also when the ledger's entry isn't safe elsewhere yet: it is in force here already.
        async with plaza.db.write(safe=True) as conn:
            await _close(conn, report, choice, moderator, subjects)
    async with plaza.db.read() as conn:
        return await moderation.by_id(conn, report_id)


async def suspend(plaza: Plaza, account_id: int, choice: Choice, moderator: int) -> None:
    """Suspend somebody whom no report is about."""
    check(choice)
    if account_id == moderator:
        raise Refused(422, "Validation failed: You can't suspend yourself")
    try:
        await plaza.record(erasure.suspend(account_id, choice.reason, str(moderator)))
    finally:
        async with plaza.db.write(safe=True) as conn:
            await record(conn, choice, moderator, report_id=None, status_id=None, account_id=account_id)


async def take_down_unreported(plaza: Plaza, status_id: int, reason: str, moderator: int) -> int:
    """Take a post down that nobody reported; returns the ledger entry's number."""
    async with plaza.db.read() as conn:
        found = await posts.everything(conn, [status_id])
    try:
        return await take_down(plaza, status_id, reason, moderator)
    finally:
        if found:
            async with plaza.db.write(safe=True) as conn:
                author = found[0].account.id
                choice = Choice(TAKEDOWN, NONE, reason)
                if await one(conn, "SELECT 1 FROM ledger WHERE status_id = %s AND action = %s", status_id, TAKEDOWN):
                    await record(conn, choice, moderator, report_id=None, status_id=status_id, account_id=author)


async def _again(plaza: Plaza, report: Report, choice: Choice, moderator: int) -> Report:
    """The same decision by the same moderator, sent again: wait for what it was waiting for."""
    async with plaza.db.read() as conn:
        made = await of_report(conn, report.id)
    if not made or any(one.moderator_id != moderator or one.action != choice.action for one in made):
        who = report.decided_by.username if report.decided_by else "somebody else"
        raise Refused(409, f"This report was already decided by {who}: {report.action_taken}")
    for decision in made:
        if decision.seq is not None:
            await plaza.wait_held(decision.seq)
    return report


def _subjects(report: Report, choice: Choice) -> list[tuple[int | None, int | None]]:
    """Post and author that the decision is about; a suspension is about the author alone."""
    target = report.target.id if report.target else None
    if choice.action == SUSPEND:
        if target is None:
            raise Refused(422, "Validation failed: Whoever this was about has left")
        return [(None, target)]
    return [(post.id, post.account.id) for post in report.posts] or [(None, target)]


async def _do(plaza: Plaza, choice: Choice, moderator: int, status: int | None, account: int | None) -> None:
    """Put it into the ledger and wait until that is held elsewhere."""
    by = str(moderator)
    if choice.action == SUSPEND and account is not None:
        await plaza.record(erasure.suspend(account, choice.reason, by))
    elif choice.action == TAKEDOWN and status is not None:
        await take_down(plaza, status, choice.reason, moderator)
    elif choice.action == HIDE and status is not None:
        await plaza.record(erasure.hide(status, choice.reason, by))


async def _close(
    conn: Connection, report: Report, choice: Choice, moderator: int, subjects: Sequence[tuple[int | None, int | None]]
) -> None:
    """Close the report, and write down what was decided about each post."""
    for status, account in subjects:
        await record(conn, choice, moderator, report_id=report.id, status_id=status, account_id=account)
    await moderation.resolve(conn, report.id, moderator, CLOSES[choice.action])


async def record(
    conn: Connection, choice: Choice, moderator: int,
    *, report_id: int | None, status_id: int | None, account_id: int | None,
) -> None:  # fmt: skip
    """One decision, with the ledger's entry that carries it out."""
    await conn.execute(
        RECORD,
        {
            "id": new_id(), "report": report_id, "account": account_id, "status": status_id, "action": choice.action,
            "rule": choice.rule, "reason": choice.reason.strip(), "moderator": moderator,
        },
    )  # fmt: skip


RECORD: LiteralString = """
INSERT INTO decisions (id, report_id, account_id, status_id, action, rule, reason, moderator_id, seq)
SELECT %(id)s, %(report)s, (SELECT id FROM accounts WHERE id = %(account)s), %(status)s, %(action)s, %(rule)s,
    %(reason)s, %(moderator)s, CASE WHEN %(action)s <> 'keep' THEN (SELECT max(seq) FROM ledger
        WHERE action = %(action)s AND status_id IS NOT DISTINCT FROM %(status)s::bigint
            AND account_id = %(account)s) END
"""


async def by_id(conn: Connection, decision_id: int) -> Decision:
    """One decision."""
    row = await one(conn, "SELECT " + COLUMNS + " FROM decisions WHERE id = %s", decision_id)
    if row is None:
        raise not_found()
    return Decision(**row)


async def of_report(conn: Connection, report_id: int) -> list[Decision]:
    """What was decided on a report."""
    return [
        Decision(**row)
        for row in await rows(conn, "SELECT " + COLUMNS + " FROM decisions WHERE report_id = %s", report_id)
    ]


async def about(conn: Connection, account_id: int) -> list[DictRow]:
    """What was decided about somebody, newest first, with what came of their appeals."""
    sql: LiteralString = """
    SELECT d.id, d.status_id, d.action, d.rule, d.reason, d.created_at, a.id AS appeal_id, a.text AS appeal_text,
        a.sealed, a.outcome, a.answer, p.key_sha256 FROM decisions d LEFT JOIN appeals a ON a.decision_id = d.id
        LEFT JOIN accounts p ON p.id = a.account_id
    WHERE d.account_id = %s AND d.action <> 'keep' ORDER BY d.id DESC LIMIT 100
    """
    found = await rows(conn, sql, account_id)
    for row in found:
        key, sealed = row.pop("key_sha256"), row.pop("sealed")
        [row["appeal_text"]] = persons.unsealed(conn, key, f"appeals/{row['appeal_id']}", sealed, row["appeal_text"])
    return found


async def statistics(conn: Connection, days: int = 30) -> list[dict[str, Any]]:
    """How many decisions by day, rule and action, and how many of them were overturned."""
    found = await rows(
        conn,
        """SELECT (d.created_at AT TIME ZONE 'UTC')::date::text AS day, d.rule, d.action, count(*)::int AS decisions,
            count(a.id)::int AS appeals, count(a.id) FILTER (WHERE a.outcome = 'overturned')::int AS overturned
        FROM decisions d LEFT JOIN appeals a ON a.decision_id = d.id
        WHERE d.created_at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - make_interval(days => %s)
        GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 3""",
        days,
    )
    return [dict(row) for row in found]
