"""Favourites and bookmarks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import entities, likes
from resilience.plaza.api.common import base_of, paged, reader, user
from resilience.plaza.db import Connection
from resilience.plaza.ids import parse_id
from resilience.plaza.paging import Page, read_page
from resilience.plaza.posts import Post
from resilience.plaza.state import plaza_of


async def favourite(request: Request) -> Response:
    """POST /api/v1/statuses/:id/favourite."""
    return await _change(request, "write:favourites", likes.favourite)


async def unfavourite(request: Request) -> Response:
    """POST /api/v1/statuses/:id/unfavourite."""
    return await _change(request, "write:favourites", likes.unfavourite)


async def bookmark(request: Request) -> Response:
    """POST /api/v1/statuses/:id/bookmark."""
    return await _change(request, "write:bookmarks", likes.bookmark)


async def unbookmark(request: Request) -> Response:
    """POST /api/v1/statuses/:id/unbookmark."""
    return await _change(request, "write:bookmarks", likes.unbookmark)


async def favourites(request: Request) -> Response:
    """GET /api/v1/favourites: what I liked."""
    return await _mine(request, "read:favourites", likes.favourites)


async def bookmarks(request: Request) -> Response:
    """GET /api/v1/bookmarks: what I bookmarked."""
    return await _mine(request, "read:bookmarks", likes.bookmarks)


async def favourited_by(request: Request) -> Response:
    """GET /api/v1/statuses/:id/favourited_by: who likes it."""
    async with plaza_of(request).db.read() as conn:
        me = await reader(request, conn, "read:accounts")
        found = await likes.who(conn, parse_id(request.path_params["id"]), me)
    return JSONResponse([entities.account(one, base_of(request)) for one in found])


async def _change(request: Request, scope: str, change: Callable[[Connection, int, int], Awaitable[Post]]) -> Response:
    async with plaza_of(request).db.write() as conn:
        me = await user(request, conn, scope)
        post = await change(conn, me.account.id, parse_id(request.path_params["id"]))
    return JSONResponse(entities.status(post, base_of(request)))


async def _mine(
    request: Request, scope: str, find: Callable[[Connection, int, Page], Awaitable[tuple[list[Post], list[int]]]]
) -> Response:
    page = read_page(request.query_params)
    async with plaza_of(request).db.read() as conn:
        me = await user(request, conn, scope)
        found, marks = await find(conn, me.account.id, page)
    return paged(request, entities.statuses(found, base_of(request)), page, marks)


ROUTES = [
    Route("/api/v1/favourites", favourites),
    Route("/api/v1/bookmarks", bookmarks),
    Route("/api/v1/statuses/{id}/favourite", favourite, methods=["POST"]),
    Route("/api/v1/statuses/{id}/unfavourite", unfavourite, methods=["POST"]),
    Route("/api/v1/statuses/{id}/bookmark", bookmark, methods=["POST"]),
    Route("/api/v1/statuses/{id}/unbookmark", unbookmark, methods=["POST"]),
    Route("/api/v1/statuses/{id}/favourited_by", favourited_by),
]
