"""Throttling: how often a person, an app or an address may use the API, told in Mastodon's headers."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience.plaza import access
from resilience.plaza.answers import refusal
from resilience.plaza.bearer import digest
from resilience.plaza.errors import Refused
from resilience.plaza.lanes import bearer_of
from resilience.plaza.ratelimit import KINDS

WINDOW_S = 300.0
REMEMBERED = 50_000


@dataclass(slots=True)
class Window:
    """What somebody used of their share, until the window ends."""

    ends: float
    used: int = 0


class Shares:
    """So many requests for one key in each window."""

    def __init__(self, limit: int, window_s: float = WINDOW_S) -> None:
        self.limit = limit
        self._window_s = window_s
        self._windows: OrderedDict[str, Window] = OrderedDict()

    def use(self, key: str) -> Window:
        """One more request of this key."""
        now = time.time()
        window = self._windows.get(key)
        if window is None or window.ends <= now:
            window = Window(now + self._window_s)
            self._windows[key] = window
        self._windows.move_to_end(key)
        while len(self._windows) > REMEMBERED:
            self._windows.popitem(last=False)
        window.used += 1
        return window


class Throttle:
    """Counts requests to the API by token, or by address without a good one."""

    def __init__(self, app: ASGIApp, *, limit: int, limits: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._all = Shares(limit)
        told = limits or {}
        self._kinds = [(kind, Shares(told.get(kind.name, kind.limit), kind.window_s)) for kind in KINDS]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count, tell how much is left, and refuse with 429 when nothing is."""
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        shares, window = self._use(scope, await _who(scope))
        headers = _headers(shares.limit, window)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        if window.used > shares.limit:
            await refusal(Request(scope), Refused(429, "Too many requests"))(scope, receive, told)
            return
        await self._app(scope, receive, told)

    def _use(self, scope: Scope, who: str) -> tuple[Shares, Window]:
        """Count it; what is told is the share of its kind, or everybody's where it has none or that one is used up."""
        used = self._all.use(who)
        for kind, shares in self._kinds:
            if used.used <= self._all.limit and kind.method == scope["method"] and kind.path.fullmatch(scope["path"]):
                return shares, shares.use(who)
        return self._all, used


def _headers(limit: int, window: Window) -> dict[str, str]:
    reset = datetime.fromtimestamp(window.ends, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    left = max(0, limit - window.used)
    return {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(left), "X-RateLimit-Reset": reset}


async def _who(scope: Scope) -> str:
    """A good token as its hash, since this is kept; else the address that the proxy names."""
    token = bearer_of(scope)
    if token is not None and await _is_good(scope, token):
        return digest(token).hex()
    client = scope.get("client")
    return client[0] if client else ""


async def _is_good(scope: Scope, token: str) -> bool:
    """A person's is looked up once, and brings them inside; a database that is away answers for itself later."""
    plaza = scope["app"].state.plaza
    if plaza.known.has(token):
        return True
    try:
        async with plaza.db.read() as conn:
            persons = await access.is_persons(conn, token)
    except psycopg.Error:
        return False
    if persons:
        plaza.known.welcome(token)
    return persons is not None
