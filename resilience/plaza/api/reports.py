"""Reports by people."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import entities, moderation
from resilience.plaza.api.common import base_of, user
from resilience.plaza.errors import Refused
from resilience.plaza.moderation import Report
from resilience.plaza.params import read_params
from resilience.plaza.state import plaza_of


async def create(request: Request) -> Response:
    """POST /api/v1/reports."""
    params = await read_params(request)
    target = params.identifier("account_id")
    if target is None:
        raise Refused(422, "Validation failed: Account can't be blank")
    async with plaza_of(request).db.write() as conn:
        me = await user(request, conn, "write:reports")
        made = await moderation.report(
            conn, me.account.id, target, params.ids("status_ids"),
            params.text("category", "other"), params.text("comment"),
            params.all("rule_ids"),
        )  # fmt: skip
    return JSONResponse(report_entity(made, base_of(request)))


def report_entity(one: Report, base: str) -> entities.Entity:
    """Report, as the person who made it sees it."""
    return {
        "id": str(one.id),
        "action_taken": one.action_taken_at is not None,
        "action_taken_at": entities.moment(one.action_taken_at) if one.action_taken_at else None,
        "category": one.category,
        "comment": one.comment,
        "forwarded": False,
        "created_at": entities.moment(one.created_at),
        "status_ids": [str(status) for status in one.status_ids],
        "rule_ids": list(one.rule_ids) or None,
        "target_account": entities.account(one.target, base) if one.target else None,
    }


ROUTES = [Route("/api/v1/reports", create, methods=["POST"])]
