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


@dataclass(frozen=True, slots=True)
class Done:
    """What of a choice is in force, by which entry of the ledger; a post that is kept needs none."""

    status_id: int | None
    account_id: int | None
    seq: int | None


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
        waits = report.action_taken is None or _unfinished(report, choice, moderator)
        if waits and choice.hold and choice.action == TAKEDOWN:
            await plaza.holds.keep(conn, report.posts)
    if not waits:
        return await _again(plaza, report, choice, moderator)
    await _carry_out(plaza, report, choice, moderator)
    async with plaza.db.read() as conn:
        return await moderation.by_id(conn, report_id)


async def suspend(plaza: Plaza, account_id: int, choice: Choice, moderator: int) -> None:
    """Suspend somebody whom no report is about."""
    check(choice)
    if account_id == moderator:
        raise Refused(422, "Validation failed: You can't suspend yourself")
    seq = await plaza.enter(erasure.suspend(account_id, choice.reason, str(moderator)))
    async with plaza.db.write(safe=True) as conn:
        await record(conn, choice, moderator, None, Done(None, account_id, seq))
    await plaza.wait_held(seq)


async def take_down_unreported(plaza: Plaza, status_id: int, reason: str, moderator: int, *, hold: bool = False) -> int:
    """Take a post down that nobody reported; returns the ledger entry's number."""
    check_reason(reason)
    if hold:
        async with plaza.db.write() as conn:
            await plaza.holds.keep(conn, await posts.everything(conn, [status_id]))
    seq = await take_down(plaza, status_id, reason, moderator)
    async with plaza.db.write(safe=True) as conn:
        await moderation.credit(conn, status_id, moderator)
        await record(conn, Choice(TAKEDOWN, NONE, reason), moderator, None, Done(status_id, None, seq))
    await plaza.wait_held(seq)
    return seq


def _unfinished(report: Report, choice: Choice, moderator: int) -> bool:
    """Whether this moderator's takedown is in force, and a crash kept it from being written down."""
    mine = report.assigned is not None and report.assigned.id == moderator
    return mine and choice.action == TAKEDOWN and report.decided_by is None


async def _again(plaza: Plaza, report: Report, choice: Choice, moderator: int) -> Report:
    """The same decision by the same moderator, sent again: wait for what it was waiting for."""
    async with plaza.db.write(safe=True) as conn:
        made = await of_report(conn, report.id)
    mine = [one for one in made if one.moderator_id == moderator and one.action == choice.action]
    if not mine or report.action_taken != CLOSES[choice.action]:
        who = report.decided_by.username if report.decided_by else "somebody else"
        raise Refused(409, f"This report was already decided by {who}: {report.action_taken}")
    for decision in mine:
        if decision.seq is not None:
            await plaza.wait_held(decision.seq)
    return report


async def _carry_out(plaza: Plaza, report: Report, choice: Choice, moderator: int) -> None:
    """All of it into the ledger, then written down, then wait until it is held elsewhere."""
    subjects = _subjects(report, choice)
    done: list[Done] = []
    try:
        for status, account in subjects:
            done.append(Done(status, account, await _enter(plaza, choice, moderator, status, account)))
    finally:
        if done:  # where the ledger failed half-way the report stays open for the rest
            async with plaza.db.write(safe=True) as conn:
                await _close(conn, report, choice, moderator, done, whole=len(done) == len(subjects))
    for part in done:
        if part.seq is not None:
            await plaza.wait_held(part.seq)


def _subjects(report: Report, choice: Choice) -> list[tuple[int | None, int | None]]:
    """Post and author that the decision is about; a suspension is about the author alone."""
    target = report.target.id if report.target else None
    if choice.action == SUSPEND:
        if target is None:
            raise Refused(422, "Validation failed: Whoever this was about has left")
        return [(None, target)]
    # A takedown names those that are gone, too: it may be one that was half done.
    named = report.status_ids if choice.action == TAKEDOWN else [post.id for post in report.posts]
    if not named and choice.action != KEEP:
        raise Refused(
            422, "Validation failed: The report is about no post that is here. Keep it, or suspend its author"
        )
    return [(post, target) for post in named] or [(None, target)]


async def _enter(plaza: Plaza, choice: Choice, moderator: int, status: int | None, account: int | None) -> int | None:
    """Put it into the ledger; the number of the entry that is in force, None where nothing has to be."""
    by = str(moderator)
    if choice.action == SUSPEND and account is not None:
        return await plaza.enter(erasure.suspend(account, choice.reason, by))
    if choice.action == TAKEDOWN and status is not None:
        return await take_down(plaza, status, choice.reason, moderator)
    if choice.action == HIDE and status is not None:
        return await plaza.enter(erasure.hide(status, choice.reason, by))
    return None


async def _close(
    conn: Connection, report: Report, choice: Choice, moderator: int, done: Sequence[Done], *, whole: bool
) -> None:
    """Write down what was decided about each post, and close the report once all of it is in force."""
    waits = await moderation.lock(conn, report.id)
    for part in done:
        if waits or part.seq is not None:
            await record(conn, choice, moderator, report.id, part)
        if choice.action == TAKEDOWN and part.status_id is not None:
            await moderation.credit(conn, part.status_id, moderator)
    if whole:
        await moderation.resolve(conn, report.id, moderator, CLOSES[choice.action])


async def record(conn: Connection, choice: Choice, moderator: int, report_id: int | None, done: Done) -> None:
    """One decision, with the ledger's entry that carries it out; sent twice at once it is one."""
    await conn.execute("SELECT FROM ledger WHERE seq = %s FOR UPDATE", (done.seq,))
    await conn.execute(
        RECORD,
        {
            "id": new_id(), "report": report_id, "account": done.account_id, "status": done.status_id,
            "action": choice.action, "rule": choice.rule, "reason": choice.reason.strip(), "moderator": moderator,
            "seq": done.seq,
        },
    )  # fmt: skip


RECORD: LiteralString = """
INSERT INTO decisions (id, report_id, account_id, status_id, action, rule, reason, moderator_id, seq)
SELECT %(id)s, %(report)s, (SELECT id FROM accounts WHERE id = coalesce(%(account)s::bigint, l.account_id)),
    %(status)s, %(action)s, %(rule)s, %(reason)s, %(moderator)s, l.seq
FROM (SELECT) AS one LEFT JOIN ledger l ON l.seq = %(seq)s::int
WHERE %(seq)s::int IS NULL OR l.action = %(action)s AND NOT EXISTS (SELECT FROM decisions d
    WHERE d.seq = l.seq AND (%(report)s::bigint IS NULL OR d.report_id = %(report)s::bigint))
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
