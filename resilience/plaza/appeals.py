"""Appeals: whoever was decided about may ask once that another moderator looks again."""

from __future__ import annotations

from typing import LiteralString

from psycopg.rows import DictRow

from resilience.plaza import decisions, erasure, persons
from resilience.plaza.db import Connection, one, rows
from resilience.plaza.errors import Refused, not_found
from resilience.plaza.ids import new_id
from resilience.plaza.state import Plaza
from resilience.plaza.takedowns import GONE, check_reason

APPEALS = 0x6170
"""Advisory locks by the last digits of an appeal's number: whoever decides on it."""
UPHELD, OVERTURNED = OUTCOMES = ("upheld", "overturned")
MAX_TEXT = 2000
COLUMNS: LiteralString = """a.id, a.decision_id, a.account_id, a.sealed, a.text, a.created_at, a.outcome, a.answer, a.decided_at,
    p.username, p.key_sha256, d.action, d.rule, d.reason, d.status_id, d.moderator_id, d.seq, d.created_at AS decision_at"""
FROM: LiteralString = " FROM appeals a JOIN decisions d ON d.id = a.decision_id JOIN accounts p ON p.id = a.account_id "


async def make(conn: Connection, account_id: int, decision_id: int, text: str) -> None:
    """Appeal against a decision about oneself; once."""
    if not text.strip() or len(text) > MAX_TEXT or "\x00" in text:
        raise Refused(422, f"Validation failed: Text can't be blank, and may have {MAX_TEXT} characters")
    decision = await decisions.by_id(conn, decision_id)
    if decision.account_id != account_id or decision.action == decisions.KEEP:
        raise not_found()
    appeal_id = new_id()
    sealed = await persons.seal(conn, account_id, row_of(appeal_id), text.strip())
    cursor = await conn.execute(
        "INSERT INTO appeals (id, decision_id, account_id, sealed) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (appeal_id, decision_id, account_id, sealed),
    )
    if not cursor.rowcount:
        raise Refused(422, "Validation failed: You have appealed against this decision already")


async def waiting(conn: Connection) -> list[DictRow]:
    """Appeals that nobody has decided, oldest first."""
    found = await rows(conn, "SELECT " + COLUMNS + FROM + "WHERE a.decided_at IS NULL ORDER BY a.id LIMIT 100")
    return [_read(conn, row) for row in found]


async def by_id(conn: Connection, appeal_id: int) -> DictRow:
    """One appeal, with what it is against."""
    row = await one(conn, "SELECT " + COLUMNS + FROM + "WHERE a.id = %s", appeal_id)
    if row is None:
        raise not_found()
    return _read(conn, row)


def row_of(appeal_id: int) -> str:
    """What an appeal's text is sealed for."""
    return f"appeals/{appeal_id}"


def _read(conn: Connection, row: DictRow) -> DictRow:
    [text] = persons.unsealed(conn, row.pop("key_sha256"), row_of(row["id"]), row.pop("sealed"), row["text"])
    return {**row, "text": text}


async def decide(plaza: Plaza, appeal_id: int, outcome: str, answer: str, moderator: int) -> DictRow:
    """Uphold or overturn: what was hidden or suspended comes back; what was taken down is gone for good."""
    if outcome not in OUTCOMES:
        raise Refused(422, f"Validation failed: Outcome must be one of {', '.join(OUTCOMES)}")
    check_reason(answer)
    told = (outcome, answer.strip())
    async with plaza.db.write(safe=True) as conn:
        await conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (APPEALS, appeal_id & 0x7FFFFFFF))
        appeal = await by_id(conn, appeal_id)
        if appeal["moderator_id"] == moderator and await _others(conn, moderator):
            raise Refused(403, "Whoever made the decision can't decide on the appeal. Leave it to another moderator.")
        if appeal["decided_at"] is not None and (appeal["outcome"], appeal["answer"]) != told:
            raise Refused(409, "This appeal was already decided by somebody else")
        if appeal["decided_at"] is None:
            # The ledger first: where that fails the appeal waits on, for whoever decides again.
            if outcome == OVERTURNED:
                await _bring_back(plaza, appeal, answer.strip(), str(moderator))
            await conn.execute(DECIDE, (*told, moderator, appeal_id))
        entry = await one(conn, BROUGHT_BACK, appeal) if outcome == OVERTURNED else None
    if entry is not None and entry["seq"] is not None:
        await plaza.wait_held(entry["seq"])
    async with plaza.db.read() as conn:
        return await by_id(conn, appeal_id)


DECIDE: LiteralString = (
    "UPDATE appeals SET outcome = %s, answer = %s, decided_by = %s, decided_at = now() WHERE id = %s"
)
BROUGHT_BACK: LiteralString = """
SELECT min(seq) AS seq FROM ledger WHERE seq > %(seq)s::int AND (
    %(action)s = 'hide' AND action = 'unhide' AND status_id = %(status_id)s::bigint
    OR %(action)s = 'suspend' AND action = 'unsuspend' AND account_id = %(account_id)s)
"""


async def _bring_back(plaza: Plaza, appeal: DictRow, reason: str, by: str) -> None:
    """What was hidden or suspended is there again; a post that its author deleted meanwhile is not."""
    try:
        if appeal["action"] == decisions.HIDE:
            await plaza.enter(erasure.unhide(appeal["status_id"], reason, by))
        elif appeal["action"] == decisions.SUSPEND:
            await plaza.enter(erasure.unsuspend(appeal["account_id"], reason, by))
    except Refused as error:
        if error.status != GONE:
            raise


async def _others(conn: Connection, moderator: int) -> bool:
    """Whether there is another moderator to leave it to."""
    sql: LiteralString = "SELECT 1 FROM accounts WHERE role = 'moderator' AND suspended_at IS NULL AND id <> %s LIMIT 1"
    return await one(conn, sql, moderator) is not None
