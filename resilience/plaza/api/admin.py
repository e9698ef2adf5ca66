"""For moderators: the queue of reports, and taking posts down.

Reports are at Mastodon's admin routes. Mastodon has none to remove one post, so plaza has
`POST /api/v1/admin/statuses/:id/takedown` (parameters `reason` and `hold`, scope `admin:write:reports`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import decisions, entities, moderation
from resilience.plaza.accounts import Account
from resilience.plaza.api.common import base_of, moderator, paged
from resilience.plaza.api.reports import report_entity
from resilience.plaza.db import Connection
from resilience.plaza.decisions import Choice
from resilience.plaza.ids import parse_id
from resilience.plaza.moderation import Report
from resilience.plaza.paging import read_page
from resilience.plaza.params import read_params
from resilience.plaza.rules import NONE, RULES
from resilience.plaza.state import plaza_of

READ, WRITE = "admin:read:reports", "admin:write:reports"


async def reports(request: Request) -> Response:
    """GET /api/v1/admin/reports: the queue, or with `resolved` what was decided."""
    page = read_page(request.query_params, default=100, largest=200)
    params = await read_params(request)
    async with plaza_of(request).db.read() as conn:
        await moderator(request, conn, READ)
        found = await moderation.queue(conn, page, resolved=params.flag("resolved"))
    return paged(request, [admin_report(one, base_of(request)) for one in found], page)


async def show(request: Request) -> Response:
    """GET /api/v1/admin/reports/:id."""
    async with plaza_of(request).db.read() as conn:
        await moderator(request, conn, READ)
        found = await moderation.by_id(conn, parse_id(request.path_params["id"]))
    return JSONResponse(admin_report(found, base_of(request)))


async def assign_to_self(request: Request) -> Response:
    """POST /api/v1/admin/reports/:id/assign_to_self."""
    return await _change(request, moderation.claim)


async def unassign(request: Request) -> Response:
    """POST /api/v1/admin/reports/:id/unassign."""
    return await _change(request, lambda conn, one, _: moderation.give_back(conn, one))


async def resolve(request: Request) -> Response:
    """POST /api/v1/admin/reports/:id/resolve: keep the post."""
    return await _decided(request, Choice(decisions.KEEP, NONE, ""))


async def decide(request: Request) -> Response:
    """POST /api/v1/admin/reports/:id/decide: `action`, `rule`, `reason`, `hold`; answers when it is held elsewhere."""
    params = await read_params(request)
    choice = Choice(
        params.text("action"), params.text("rule", NONE), params.text("reason").strip(), hold=params.flag("hold")
    )
    return await _decided(request, choice)


async def _decided(request: Request, choice: Choice) -> Response:
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        me = await moderator(request, conn, WRITE)
    found = await decisions.decide(plaza, parse_id(request.path_params["id"]), choice, me.account.id)
    return JSONResponse(admin_report(found, base_of(request)))


async def reopen(request: Request) -> Response:
    """POST /api/v1/admin/reports/:id/reopen."""
    return await _change(request, lambda conn, one, _: moderation.reopen(conn, one))


async def takedown(request: Request) -> Response:
    """POST /api/v1/admin/statuses/:id/takedown: `reason`, `hold`; answers only when it is held elsewhere."""
    plaza = plaza_of(request)
    params = await read_params(request)
    async with plaza.db.read() as conn:
        me = await moderator(request, conn, WRITE)
    status_id = parse_id(request.path_params["id"])
    hold = params.flag("hold")
    seq = await decisions.take_down_unreported(plaza, status_id, params.text("reason"), me.account.id, hold=hold)
    return JSONResponse({"status_id": str(status_id), "seq": seq, "done": True})


async def _change(request: Request, change: Callable[[Connection, int, int], Awaitable[Report]]) -> Response:
    async with plaza_of(request).db.write() as conn:
        me = await moderator(request, conn, WRITE)
        found = await change(conn, parse_id(request.path_params["id"]), me.account.id)
    return JSONResponse(admin_report(found, base_of(request)))


def admin_report(one: Report, base: str) -> entities.Entity:
    """Admin::Report."""
    return {
        **report_entity(one, base),
        "updated_at": entities.moment(one.updated_at),
        "account": admin_account(one.reporter, base),
        "target_account": admin_account(one.target, base),
        "assigned_account": admin_account(one.assigned, base),
        "action_taken_by_account": admin_account(one.decided_by, base),
        "statuses": entities.statuses(one.posts, base),
        "rules": [rule for rule in RULES if rule["id"] in one.rule_ids],
        "due_at": entities.moment(one.due_at) if one.due_at else None,
        "notice_id": None if one.notice_id is None else str(one.notice_id),
    }


def admin_account(one: Account | None, base: str) -> entities.Entity | None:
    """Admin::Account; plaza knows no address, mail or invitation of a person to show."""
    if one is None:
        return None
    shown = entities.credential_account(one, base)
    return {
        "id": str(one.id),
        "username": one.username,
        "domain": None,
        "created_at": entities.moment(one.created_at),
        "email": "",
        "ip": None,
        "ips": [],
        "role": shown["role"],
        "confirmed": True,
        "suspended": one.suspended_at is not None,
        "silenced": False,
        "sensitized": False,
        "disabled": False,
        "approved": True,
        "locale": None,
        "invite_request": None,
        "account": entities.account(one, base),
    }


ROUTES = [
    Route("/api/v1/admin/reports", reports),
    Route("/api/v1/admin/reports/{id}", show),
    Route("/api/v1/admin/reports/{id}/assign_to_self", assign_to_self, methods=["POST"]),
    Route("/api/v1/admin/reports/{id}/unassign", unassign, methods=["POST"]),
    Route("/api/v1/admin/reports/{id}/resolve", resolve, methods=["POST"]),
    Route("/api/v1/admin/reports/{id}/decide", decide, methods=["POST"]),
    Route("/api/v1/admin/reports/{id}/reopen", reopen, methods=["POST"]),
    Route("/api/v1/admin/statuses/{id}/takedown", takedown, methods=["POST"]),
]
