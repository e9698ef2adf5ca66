"""Search."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import entities, search, words
from resilience.plaza.api.common import base_of, reader, user
from resilience.plaza.paging import read_page
from resilience.plaza.params import Params, read_params
from resilience.plaza.state import plaza_of

FURTHEST = 200


async def everything(request: Request) -> Response:
    """GET /api/v2/search: people and posts; `type` for one of them."""
    page = read_page(request.query_params)
    params = await read_params(request)
    kind, text = params.text("type"), params.text("q")
    async with plaza_of(request).db.read() as conn:
        me = await reader(request, conn, "read:search")
        people, found = [], []
        if kind in ("", "accounts"):
            people = await search.find_people(conn, text, page.limit, _offset(params))
        if kind in ("", "statuses") and not _offset(params):
            found = await search.find_posts(conn, text, me, page)
        complete = await words.are_complete(conn)
    base = base_of(request)
    return JSONResponse(
        {
            "accounts": [entities.account(one, base) for one in people],
            "statuses": entities.statuses(found, base),
            "hashtags": [],
        },
        headers={} if complete else {"X-Search": words.NEW},
    )


async def people(request: Request) -> Response:
    """GET /api/v1/accounts/search: people by name."""
    page = read_page(request.query_params, default=40, largest=80)
    params = await read_params(request)
    async with plaza_of(request).db.read() as conn:
        await user(request, conn, "read:accounts")
        found = await search.find_people(conn, params.text("q"), page.limit, _offset(params))
    return JSONResponse([entities.account(one, base_of(request)) for one in found])


def _offset(params: Params) -> int:
    text = params.text("offset", "0")
    return min(int(text[:6]), FURTHEST) if text.isascii() and text.isdigit() else 0


ROUTES = [
    Route("/api/v2/search", everything),
    Route("/api/v1/accounts/search", people),
]
