"""For moderators, beyond Mastodon's routes: claiming, suspending, appeals, notices, statistics.

Suspending is Mastodon's own `POST /api/v1/admin/accounts/:id/action`; the rest has no place there.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import accounts, appeals, decisions, entities, erasure, moderation, notices
from resilience.plaza.api.admin import READ, WRITE, admin_account, admin_report
from resilience.plaza.api.common import base_of, moderator, user
from resilience.plaza.decisions import SUSPEND, Choice
from resilience.plaza.errors import Refused
from resilience.plaza.ids import parse_id
from resilience.plaza.params import read_params
from resilience.plaza.rules import IDS
from resilience.plaza.state import plaza_of
from resilience.plaza.takedowns import check_reason

MOST = 20


async def claim(request: Request) -> Response:
    """POST /api/v1/admin/reports/claim: the next `count` reports that nobody looks at."""
    params = await read_params(request)
    count = params.text("count", "1")
    if not count.isascii() or not count.isdigit():
        raise Refused(422, "Validation failed: Count must be a number")
    async with plaza_of(request).db.write() as conn:
        me = await moderator(request, conn, WRITE)
        found = await moderation.claim_next(conn, me.account.id, min(int(count[:3]), MOST))
    return JSONResponse([admin_report(one, base_of(request)) for one in found])


async def act(request: Request) -> Response:
    """POST /api/v1/admin/accounts/:id/action: `type` suspend, with `text` (the reason) and perhaps `report_id`."""
    plaza = plaza_of(request)
    params = await read_params(request)
    async with plaza.db.read() as conn:
        me = await moderator(request, conn, WRITE)
        target = await accounts.by_id(conn, parse_id(request.path_params["id"]))
    if params.text("type") != SUSPEND:
        raise Refused(422, "Validation failed: Type must be suspend")
    choice = Choice(SUSPEND, params.text("rule", IDS[0]), params.text("text").strip())
    report_id = params.identifier("report_id")
    if report_id is not None:
        await decisions.decide(plaza, report_id, choice, me.account.id)
    else:
        await decisions.suspend(plaza, target.id, choice, me.account.id)
    return JSONResponse({})


async def unsuspend(request: Request) -> Response:
    """POST /api/v1/admin/accounts/:id/unsuspend; answers when it is held elsewhere."""
    plaza = plaza_of(request)
    account_id = parse_id(request.path_params["id"])
    reason = (await read_params(request)).text("text", "suspension ended").strip()
    check_reason(reason)
    async with plaza.db.read() as conn:
        me = await moderator(request, conn, WRITE)
    await plaza.record(erasure.unsuspend(account_id, reason, str(me.account.id)))
    async with plaza.db.read() as conn:
        found = await accounts.by_id(conn, account_id)
    return JSONResponse(admin_account(found, base_of(request)))


async def list_notices(request: Request) -> Response:
    """GET /api/v1/admin/notices: letters of vendors, the next deadline first."""
    async with plaza_of(request).db.read() as conn:
        await moderator(request, conn, READ)
        found = await notices.everyone(conn)
    return JSONResponse([{**one, **{k: entities.moment(one[k]) for k in ("due_at", "received_at")}} for one in found])


async def statistics(request: Request) -> Response:
    """GET /api/v1/admin/statistics: decisions of the last 30 days by day, rule and action."""
    async with plaza_of(request).db.read() as conn:
        await moderator(request, conn, READ)
        return JSONResponse(await decisions.statistics(conn))


async def list_appeals(request: Request) -> Response:
    """GET /api/v1/admin/appeals: those that nobody has decided."""
    async with plaza_of(request).db.read() as conn:
        await moderator(request, conn, READ)
        found = await appeals.waiting(conn)
    return JSONResponse([_appeal(one) for one in found])


async def decide_appeal(request: Request) -> Response:
    """POST /api/v1/admin/appeals/:id/decide: `outcome` (upheld, overturned) and `answer`."""
    plaza = plaza_of(request)
    params = await read_params(request)
    async with plaza.db.read() as conn:
        me = await moderator(request, conn, WRITE)
    appeal_id = parse_id(request.path_params["id"])
    found = await appeals.decide(plaza, appeal_id, params.text("outcome"), params.text("answer"), me.account.id)
    return JSONResponse(_appeal(found))


async def about_me(request: Request) -> Response:
    """GET /api/v1/decisions: what was decided about me."""
    async with plaza_of(request).db.read() as conn:
        me = await user(request, conn, "read:accounts")
        found = await decisions.about(conn, me.account.id)
    return JSONResponse(
        [
            {
                **{k: one[k] for k in ("action", "rule", "reason", "outcome", "answer")},
                "id": str(one["id"]),
                "status_id": None if one["status_id"] is None else str(one["status_id"]),
                "created_at": entities.moment(one["created_at"]),
                "appealed": one["appeal_id"] is not None,
            }
            for one in found
        ]
    )


async def appeal(request: Request) -> Response:
    """POST /api/v1/decisions/:id/appeal: ask that somebody else looks again."""
    params = await read_params(request)
    decision_id = parse_id(request.path_params["id"])
    async with plaza_of(request).db.write() as conn:
        me = await user(request, conn, "write:accounts")
        await appeals.make(conn, me.account.id, decision_id, params.text("text"))
    return JSONResponse({})


def _appeal(one: dict[str, Any]) -> entities.Entity:
    made, decided = one["created_at"], one["decided_at"]
    return {
        "id": str(one["id"]),
        "account": one["username"],
        "decision_id": str(one["decision_id"]),
        "status_id": None if one["status_id"] is None else str(one["status_id"]),
        **{k: one[k] for k in ("text", "action", "rule", "reason", "outcome", "answer")},
        "created_at": entities.moment(made),
        "decided_at": entities.moment(decided) if decided else None,
    }


ROUTES = [
    Route("/api/v1/admin/reports/claim", claim, methods=["POST"]),
    Route("/api/v1/admin/accounts/{id}/action", act, methods=["POST"]),
    Route("/api/v1/admin/accounts/{id}/unsuspend", unsuspend, methods=["POST"]),
    Route("/api/v1/admin/notices", list_notices),
    Route("/api/v1/admin/statistics", statistics),
    Route("/api/v1/admin/appeals", list_appeals),
    Route("/api/v1/admin/appeals/{id}/decide", decide_appeal, methods=["POST"]),
    Route("/api/v1/decisions", about_me),
    Route("/api/v1/decisions/{id}/appeal", appeal, methods=["POST"]),
]
