"""The JSON interface: the subset of Mastodon's client API that plaza needs."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import openapi
from resilience.plaza.api import (
    accounts,
    admin,
    common,
    deciding,
    edits,
    groups,
    instance,
    likes,
    media,
    notifications,
    oauth,
    push,
    reports,
    search,
    statuses,
    ties,
)


async def describe(request: Request) -> Response:
    """GET /api/openapi.json: this interface, for programs that read such a description."""
    return JSONResponse(openapi.document(ROUTES[:-1], common.base_of(request), instance.VERSION))


ROUTES: list[Route] = [
    *oauth.ROUTES,
    *search.ROUTES,
    *accounts.ROUTES,
    *ties.ROUTES,
    *edits.ROUTES,
    *likes.ROUTES,
    *notifications.ROUTES,
    *groups.ROUTES,
    *push.ROUTES,
    *statuses.ROUTES,
    *media.ROUTES,
    *reports.ROUTES,
    *deciding.ROUTES,
    *admin.ROUTES,
    *instance.ROUTES,
    Route("/api/openapi.json", describe),
]
