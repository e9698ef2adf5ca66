"""Posts and timelines."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import entities, erasure, posts
from resilience.plaza.api.common import base_of, paged, reader, user
from resilience.plaza.errors import Refused
from resilience.plaza.ids import parse_id
from resilience.plaza.paging import read_page
from resilience.plaza.params import Params, read_params
from resilience.plaza.posts import NewPost
from resilience.plaza.state import plaza_of


async def create(request: Request) -> Response:
    """POST /api/v1/statuses; with Idempotency-Key exactly once, however often it is sent."""
    new = new_post(await read_params(request))
    key = request.headers.get("idempotency-key") or None
    async with plaza_of(request).db.write() as conn:
        me = await user(request, conn, "write:statuses")
        post_id, _ = await posts.create(conn, me.account.id, new, me.app_id, key)
        post = await posts.by_id(conn, post_id, me.account.id)
    return JSONResponse(entities.status(post, base_of(request)))


async def show(request: Request) -> Response:
    """GET /api/v1/statuses/:id."""
    async with plaza_of(request).db.read() as conn:
        me = await reader(request, conn, "read:statuses")
        post = await posts.by_id(conn, parse_id(request.path_params["id"]), me)
    return JSONResponse(entities.status(post, base_of(request)))


async def several(request: Request) -> Response:
    """GET /api/v1/statuses?id[]=…: those of them that exist."""
    params = await read_params(request)
    async with plaza_of(request).db.read() as conn:
        me = await reader(request, conn, "read:statuses")
        found = await posts.by_ids(conn, params.ids("id")[:80], me)
    return JSONResponse(entities.statuses(found, base_of(request)))


async def delete(request: Request) -> Response:
    """DELETE /api/v1/statuses/:id; answers only when the erasure is held elsewhere."""
    plaza = plaza_of(request)
    post_id = parse_id(request.path_params["id"])
    async with plaza.db.read() as conn:
        me = await user(request, conn, "write:statuses")
        post = await posts.by_id(conn, post_id, me.account.id)
    await plaza.record(erasure.erase_status(post_id, me.account.id))
    return JSONResponse({**entities.status(post, base_of(request)), "text": post.text})


async def context(request: Request) -> Response:
    """GET /api/v1/statuses/:id/context: what it answers and what answers it."""
    base = base_of(request)
    async with plaza_of(request).db.read() as conn:
        me = await reader(request, conn, "read:statuses")
        post = await posts.by_id(conn, parse_id(request.path_params["id"]), me)
        before, after = await posts.context(conn, post, me)
    return JSONResponse(
        {
            "ancestors": entities.statuses(before, base),
            "descendants": entities.statuses(after, base),
        }
    )


async def home(request: Request) -> Response:
    """GET /api/v1/timelines/home."""
    page = read_page(request.query_params)
    async with plaza_of(request).db.read() as conn:
        me = await user(request, conn, "read:statuses")
        found = await posts.home(conn, me.account.id, page)
    return paged(request, entities.statuses(found, base_of(request)), page)


async def public(request: Request) -> Response:
    """GET /api/v1/timelines/public."""
    page = read_page(request.query_params)
    params = await read_params(request)
    async with plaza_of(request).db.read() as conn:
        me = await reader(request, conn, "read:statuses")
        if params.flag("remote"):
            return paged(request, [], page)
        found = await posts.public(conn, page, me, only_media=params.flag("only_media"))
    return paged(request, entities.statuses(found, base_of(request)), page)


def new_post(params: Params) -> NewPost:
    """What somebody wants to post."""
    for feature in ("poll", "scheduled_at", "quoted_status_id"):
        if params.text(feature):
            raise Refused(422, f"Validation failed: Plaza has no {feature.split('_')[0]} posts")
    return NewPost(
        text=params.text("status"),
        media_ids=tuple(params.ids("media_ids")),
        spoiler_text=params.text("spoiler_text"),
        sensitive=params.flag("sensitive"),
        visibility=params.text("visibility", "public"),
        language=params.text("language")[:10] or None,
        in_reply_to_id=params.identifier("in_reply_to_id"),
    )


ROUTES = [
    Route("/api/v1/statuses", create, methods=["POST"]),
    Route("/api/v1/statuses", several),
    Route("/api/v1/statuses/{id}", show),
    Route("/api/v1/statuses/{id}", delete, methods=["DELETE"]),
    Route("/api/v1/statuses/{id}/context", context),
    Route("/api/v1/timelines/home", home),
    Route("/api/v1/timelines/public", public),
]
