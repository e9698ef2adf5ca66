"""Notifications, and how far somebody has read."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import entities, notifications
from resilience.plaza.api.common import base_of, paged, user
from resilience.plaza.errors import Refused
from resilience.plaza.ids import parse_id
from resilience.plaza.notifications import Notification
from resilience.plaza.notify import KINDS
from resilience.plaza.paging import read_page
from resilience.plaza.params import Params, read_params
from resilience.plaza.state import plaza_of

READ, WRITE = "read:notifications", "write:notifications"
TIMELINES = ("home", "notifications")


async def several(request: Request) -> Response:
    """GET /api/v1/notifications; `types[]`, `exclude_types[]`, `account_id`."""
    page = read_page(request.query_params, default=40, largest=80)
    params = await read_params(request)
    async with plaza_of(request).db.read() as conn:
        me = await user(request, conn, READ)
        by = params.identifier("account_id")
        found = await notifications.of(conn, me.account.id, page, kinds=kinds_of(params), by=by)
    return paged(request, [_entity(one, base_of(request)) for one in found], page)


def kinds_of(params: Params) -> list[str]:
    """Which kinds a request asks for."""
    wanted, unwanted = params.all("types"), params.all("exclude_types")
    return [kind for kind in KINDS if (not wanted or kind in wanted) and kind not in unwanted]


async def show(request: Request) -> Response:
    """GET /api/v1/notifications/:id."""
    async with plaza_of(request).db.read() as conn:
        me = await user(request, conn, READ)
        found = await notifications.by_id(conn, me.account.id, parse_id(request.path_params["id"]))
    return JSONResponse(_entity(found, base_of(request)))


async def clear(request: Request) -> Response:
    """POST /api/v1/notifications/clear."""
    async with plaza_of(request).db.write() as conn:
        me = await user(request, conn, WRITE)
        await notifications.clear(conn, me.account.id)
    return JSONResponse({})


async def dismiss(request: Request) -> Response:
    """POST /api/v1/notifications/:id/dismiss."""
    async with plaza_of(request).db.write() as conn:
        me = await user(request, conn, WRITE)
        await notifications.dismiss(conn, me.account.id, parse_id(request.path_params["id"]))
    return JSONResponse({})


async def unread_count(request: Request) -> Response:
    """GET /api/v1/notifications/unread_count."""
    async with plaza_of(request).db.read() as conn:
        me = await user(request, conn, READ)
        return JSONResponse({"count": await notifications.unread(conn, me.account.id)})


async def markers(request: Request) -> Response:
    """GET and POST /api/v1/markers: how far I read."""
    params = await read_params(request)
    if request.method == "GET":
        async with plaza_of(request).db.read() as conn:
            me = await user(request, conn, "read:statuses")
            found = await notifications.markers(conn, me.account.id, params.all("timeline"))
    else:
        async with plaza_of(request).db.write() as conn:
            me = await user(request, conn, "write:statuses")
            found = [
                await notifications.mark(conn, me.account.id, timeline, parse_id(value))
                for timeline in TIMELINES
                if (value := params.nested(timeline, "last_read_id")) is not None
            ]
        if not found:
            raise Refused(422, "Validation failed: Timeline must be home or notifications")
    return JSONResponse(
        {
            row["timeline"]: {
                "last_read_id": str(row["last_read_id"]),
                "version": row["version"],
                "updated_at": entities.moment(row["updated_at"]),
            }
            for row in found
        }
    )


def _entity(one: Notification, base: str) -> entities.Entity:
    """Notification."""
    return {
        "id": str(one.id),
        "type": one.kind,
        "created_at": entities.moment(one.created_at),
        "group_key": f"ungrouped-{one.id}",
        "account": entities.account(one.account, base),
        **({"status": entities.status(one.post, base)} if one.post else {}),
    }


ROUTES = [
    Route("/api/v1/notifications", several),
    Route("/api/v1/notifications/clear", clear, methods=["POST"]),
    Route("/api/v1/notifications/unread_count", unread_count),
    Route("/api/v1/notifications/{id}", show),
    Route("/api/v1/notifications/{id}/dismiss", dismiss, methods=["POST"]),
    Route("/api/v1/markers", markers, methods=["GET", "POST"]),
]
