"""Web Push subscriptions, as Mastodon's apps make them: one for each token."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import subscriptions
from resilience.plaza.api.common import user
from resilience.plaza.bearer import digest
from resilience.plaza.params import Params, read_params
from resilience.plaza.state import plaza_of
from resilience.plaza.subscriptions import ALERTS, BY_TOKEN, Subscription, Wanted


async def subscribe(request: Request) -> Response:
    """POST /api/v1/push/subscription: in place of an earlier one of this token."""
    params = await read_params(request)
    wanted = Wanted(
        params.text("subscription[endpoint]"),
        params.text("subscription[keys][p256dh]"),
        params.text("subscription[keys][auth]"),
        _alerts(params),
        params.text("data[policy]", "all"),
    )
    async with plaza_of(request).db.write() as conn:
        me = await user(request, conn, "push")
        made = await subscriptions.put(conn, me.account.id, BY_TOKEN, _token(request), wanted)
    return JSONResponse(_entity(request, made))


async def show(request: Request) -> Response:
    """GET /api/v1/push/subscription."""
    async with plaza_of(request).db.read() as conn:
        await user(request, conn, "push")
        found = await subscriptions.get(conn, BY_TOKEN, _token(request))
    return JSONResponse(_entity(request, found))


async def change(request: Request) -> Response:
    """PUT /api/v1/push/subscription: other alerts."""
    params = await read_params(request)
    policy = params.optional("data[policy]") or params.optional("policy")
    async with plaza_of(request).db.write() as conn:
        await user(request, conn, "push")
        changed = await subscriptions.change(conn, _token(request), _alerts(params), policy)
    return JSONResponse(_entity(request, changed))


async def remove(request: Request) -> Response:
    """DELETE /api/v1/push/subscription."""
    async with plaza_of(request).db.write() as conn:
        await user(request, conn, "push")
        await subscriptions.remove(conn, BY_TOKEN, _token(request))
    return JSONResponse({})


def _token(request: Request) -> bytes:
    return digest(request.headers["authorization"].partition(" ")[2].strip())


def _alerts(params: Params) -> tuple[str, ...]:
    return tuple(kind for kind in ALERTS if params.flag(f"data[alerts][{kind}]"))


def _entity(request: Request, one: Subscription) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "endpoint": one.endpoint,
        "standard": True,
        "alerts": {kind: kind in one.alerts for kind in ALERTS},
        "policy": one.policy,
        "server_key": plaza_of(request).pusher.public,
    }


ROUTES = [
    Route("/api/v1/push/subscription", subscribe, methods=["POST"]),
    Route("/api/v1/push/subscription", show),
    Route("/api/v1/push/subscription", change, methods=["PUT"]),
    Route("/api/v1/push/subscription", remove, methods=["DELETE"]),
]
