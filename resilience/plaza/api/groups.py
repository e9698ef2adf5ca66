"""Grouped notifications: many people who did the same are one entry, as Mastodon has it since 4.3."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import entities, notifications
from resilience.plaza.api.common import base_of, user
from resilience.plaza.api.notifications import READ, WRITE, kinds_of
from resilience.plaza.errors import not_found
from resilience.plaza.notifications import GROUPED, Notification
from resilience.plaza.paging import link_header, read_page
from resilience.plaza.params import read_params
from resilience.plaza.state import plaza_of

SAMPLE = 8
"""Of so many people in a group the ids are told at once; the rest on request."""


async def several(request: Request) -> Response:
    """GET /api/v2/notifications; a page is so many notifications, however few groups they make."""
    page = read_page(request.query_params, default=40, largest=80)
    params = await read_params(request)
    wanted = params.all("grouped_types")
    grouped = [kind for kind in GROUPED if not wanted or kind in wanted]
    async with plaza_of(request).db.read() as conn:
        me = await user(request, conn, READ)
        by = params.identifier("account_id")
        found = await notifications.of(conn, me.account.id, page, kinds=kinds_of(params), by=by)
    url = base_of(request) + request.url.path
    link = link_header(url, request.query_params, [one.id for one in found], page)
    return JSONResponse(_results(found, grouped, base_of(request)), headers={"Link": link} if link else None)


async def show(request: Request) -> Response:
    """GET /api/v2/notifications/:group_key."""
    return JSONResponse(_results(await _group(request, READ), GROUPED, base_of(request)))


async def people(request: Request) -> Response:
    """GET /api/v2/notifications/:group_key/accounts: everybody in a group."""
    found = await _group(request, READ)
    return JSONResponse([entities.account(one.account, base_of(request)) for one in found])


async def dismiss(request: Request) -> Response:
    """POST /api/v2/notifications/:group_key/dismiss: forget a whole group."""
    found = await _group(request, WRITE)
    async with plaza_of(request).db.write() as conn:
        me = await user(request, conn, WRITE)
        for one in found:
            await notifications.dismiss(conn, me.account.id, one.id)
    return JSONResponse({})


async def unread_count(request: Request) -> Response:
    """GET /api/v2/notifications/unread_count."""
    async with plaza_of(request).db.read() as conn:
        me = await user(request, conn, READ)
        return JSONResponse({"count": await notifications.unread(conn, me.account.id)})


async def _group(request: Request, scope: str) -> list[Notification]:
    """One group's notifications, newest first; refused when there is none, or none any more."""
    kind, _, which = request.path_params["group_key"].partition("-")
    async with plaza_of(request).db.read() as conn:
        me = await user(request, conn, scope)
        if kind == "ungrouped":
            return [await notifications.by_id(conn, me.account.id, _number(which))]
        found = await notifications.alike(conn, me.account.id, kind, which) if kind in GROUPED else []
    if not found:
        raise not_found()
    return found


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise not_found()
    return int(text)


def _results(found: Sequence[Notification], grouped: Sequence[str], base: str) -> entities.Entity:
    """GroupedNotificationsResults."""
    groups = notifications.in_groups(found, grouped)
    people = {one.account.id: one.account for one in found}
    posts = {one.post.id: one.post for one in found if one.post}
    return {
        "accounts": [entities.account(one, base) for one in people.values()],
        "statuses": entities.statuses(posts.values(), base),
        "notification_groups": [_entity(key, group) for key, group in groups.items()],
    }


def _entity(key: str, group: Sequence[Notification]) -> entities.Entity:
    """NotificationGroup."""
    newest = group[0]
    return {
        "group_key": key,
        "notifications_count": len(group),
        "type": newest.kind,
        "most_recent_notification_id": newest.id,
        "page_min_id": str(group[-1].id),
        "page_max_id": str(newest.id),
        "latest_page_notification_at": entities.moment(newest.created_at),
        "sample_account_ids": [str(one.account.id) for one in group[:SAMPLE]],
        **({"status_id": str(newest.post.id)} if newest.post else {}),
    }


ROUTES = [
    Route("/api/v2/notifications", several),
    Route("/api/v2/notifications/unread_count", unread_count),
    Route("/api/v2/notifications/{group_key}", show),
    Route("/api/v2/notifications/{group_key}/accounts", people),
    Route("/api/v2/notifications/{group_key}/dismiss", dismiss, methods=["POST"]),
]
