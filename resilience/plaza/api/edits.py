"""Editing posts, and what they said before."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import dropped, edits, entities, posts
from resilience.plaza.api.common import base_of, reader, user
from resilience.plaza.api.statuses import new_post
from resilience.plaza.errors import not_found
from resilience.plaza.ids import parse_id
from resilience.plaza.params import read_params
from resilience.plaza.state import plaza_of
from resilience.plaza.text import to_html


async def change(request: Request) -> Response:
    """PUT /api/v1/statuses/:id: say something else; who may see it stays as it is."""
    new = new_post(await read_params(request))
    plaza = plaza_of(request)
    async with plaza.db.write() as conn:
        me = await user(request, conn, "write:statuses")
        post = await edits.edit(conn, me.account.id, parse_id(request.path_params["id"]), new)
    await dropped.erase(plaza)
    return JSONResponse(entities.status(post, base_of(request)))


async def history(request: Request) -> Response:
    """GET /api/v1/statuses/:id/history: all versions, oldest first."""
    base = base_of(request)
    async with plaza_of(request).db.read() as conn:
        me = await reader(request, conn, "read:statuses")
        post = await posts.by_id(conn, parse_id(request.path_params["id"]), me)
        found = await edits.history(conn, post)
    shown = entities.status(post, base)
    kept = {key: shown[key] for key in ("account", "media_attachments", "emojis")}
    return JSONResponse(
        [
            {
                "content": to_html(one.text),
                "spoiler_text": one.spoiler_text,
                "sensitive": one.sensitive,
                "created_at": entities.moment(one.created_at),
                "poll": None,
                **kept,
            }
            for one in found
        ]
    )


async def source(request: Request) -> Response:
    """GET /api/v1/statuses/:id/source: my post as I typed it."""
    async with plaza_of(request).db.read() as conn:
        me = await user(request, conn, "read:statuses")
        post = await posts.by_id(conn, parse_id(request.path_params["id"]), me.account.id)
    if post.account.id != me.account.id:
        raise not_found()
    return JSONResponse({"id": str(post.id), "text": post.text, "spoiler_text": post.spoiler_text})


ROUTES = [
    Route("/api/v1/statuses/{id}", change, methods=["PUT"]),
    Route("/api/v1/statuses/{id}/history", history),
    Route("/api/v1/statuses/{id}/source", source),
]
