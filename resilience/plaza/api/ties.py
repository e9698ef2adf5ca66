"""Blocks, mutes and followers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import accounts, entities, ties
from resilience.plaza.accounts import Account
from resilience.plaza.api.common import base_of, paged, reader, user
from resilience.plaza.db import Connection
from resilience.plaza.errors import Refused
from resilience.plaza.ids import parse_id
from resilience.plaza.paging import Page, read_page
from resilience.plaza.params import read_params
from resilience.plaza.state import plaza_of

LONGEST_S = 366 * 86400


async def block(request: Request) -> Response:
    """POST /api/v1/accounts/:id/block."""
    return await _change(request, "write:blocks", ties.block)


async def unblock(request: Request) -> Response:
    """POST /api/v1/accounts/:id/unblock."""
    return await _change(request, "write:blocks", ties.unblock)


async def mute(request: Request) -> Response:
    """POST /api/v1/accounts/:id/mute; `notifications`, `duration` in seconds."""
    params = await read_params(request)
    duration = params.text("duration", "0")
    if not duration.isascii() or not duration.isdigit() or int(duration[:9]) > LONGEST_S:
        raise Refused(422, "Validation failed: Duration must be seconds, at most a year")
    quiet = params.optional("notifications") is None or params.flag("notifications")

    async def change(conn: Connection, me: int, target: int) -> None:
        await ties.mute(conn, me, target, notifications=quiet, seconds=int(duration))

    return await _change(request, "write:mutes", change)


async def unmute(request: Request) -> Response:
    """POST /api/v1/accounts/:id/unmute."""
    return await _change(request, "write:mutes", ties.unmute)


async def remove_from_followers(request: Request) -> Response:
    """POST /api/v1/accounts/:id/remove_from_followers."""
    return await _change(request, "write:follows", ties.drop_follower)


async def blocks(request: Request) -> Response:
    """GET /api/v1/blocks: whom I blocked."""
    return await _mine(request, "read:blocks", ties.blocked)


async def mutes(request: Request) -> Response:
    """GET /api/v1/mutes: whom I muted."""
    return await _mine(request, "read:mutes", ties.muted)


async def followers(request: Request) -> Response:
    """GET /api/v1/accounts/:id/followers."""
    return await _own_list(request, ties.followers)


async def following(request: Request) -> Response:
    """GET /api/v1/accounts/:id/following."""
    return await _own_list(request, ties.following)


Find = Callable[[Connection, int, Page], Awaitable[list[Account]]]


async def _change(request: Request, scope: str, change: Callable[[Connection, int, int], Awaitable[None]]) -> Response:
    target = parse_id(request.path_params["id"])
    async with plaza_of(request).db.write() as conn:
        me = await user(request, conn, scope)
        await accounts.by_id(conn, target)
        await change(conn, me.account.id, target)
        [found] = await accounts.relationships(conn, me.account.id, [target])
    return JSONResponse(entities.relationship(found))


async def _mine(request: Request, scope: str, find: Find) -> Response:
    page = read_page(request.query_params, default=40, largest=80)
    async with plaza_of(request).db.read() as conn:
        me = await user(request, conn, scope)
        found = await find(conn, me.account.id, page)
    return paged(request, [entities.account(one, base_of(request)) for one in found], page)


async def _own_list(request: Request, find: Find) -> Response:
    """One's own list; other people's are hidden, as their accounts say (`hide_collections`)."""
    page = read_page(request.query_params, default=40, largest=80)
    async with plaza_of(request).db.read() as conn:
        me = await reader(request, conn, "read:accounts")
        asked = await accounts.by_id(conn, parse_id(request.path_params["id"]))
        found = await find(conn, asked.id, page) if asked.id == me else []
    return paged(request, [entities.account(one, base_of(request)) for one in found], page)


ROUTES = [
    Route("/api/v1/blocks", blocks),
    Route("/api/v1/mutes", mutes),
    Route("/api/v1/accounts/{id}/block", block, methods=["POST"]),
    Route("/api/v1/accounts/{id}/unblock", unblock, methods=["POST"]),
    Route("/api/v1/accounts/{id}/mute", mute, methods=["POST"]),
    Route("/api/v1/accounts/{id}/unmute", unmute, methods=["POST"]),
    Route("/api/v1/accounts/{id}/remove_from_followers", remove_from_followers, methods=["POST"]),
    Route("/api/v1/accounts/{id}/followers", followers),
    Route("/api/v1/accounts/{id}/following", following),
]
