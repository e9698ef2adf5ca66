"""Throttling: how often a person, an app or an address may use the API, told in Mastodon's headers."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience.plaza.answers import refusal
from resilience.plaza.errors import Refused

WINDOW_S = 300
REMEMBERED = 50_000


@dataclass(slots=True)
class Window:
    """What somebody used of their share, until the window ends."""

    ends: float
    used: int = 0


class Shares:
    """So many requests for one key in each window of five minutes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._windows: OrderedDict[str, Window] = OrderedDict()

    def use(self, key: str) -> Window:
        """One more request of this key."""
        now = time.time()
        window = self._windows.get(key)
        if window is None or window.ends <= now:
            window = Window(now + WINDOW_S)
            self._windows[key] = window
        self._windows.move_to_end(key)
        while len(self._windows) > REMEMBERED:
            self._windows.popitem(last=False)
        window.used += 1
        return window


class Throttle:
    """Counts requests to the API by token, or by address without one."""

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app = app
        self._shares = Shares(limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count, tell how much is left, and refuse with 429 when nothing is."""
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        window = self._shares.use(_who(scope))
        left = max(0, self._shares.limit - window.used)
        reset = datetime.fromtimestamp(window.ends, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-RateLimit-Limit"] = str(self._shares.limit)
                headers["X-RateLimit-Remaining"] = str(left)
                headers["X-RateLimit-Reset"] = reset
            await send(message)

        if window.used > self._shares.limit:
            await refusal(Request(scope), Refused(429, "Too many requests"))(scope, receive, told)
            return
        await self._app(scope, receive, told)


def _who(scope: Scope) -> str:
    """A token as its hash, since this is kept; else the address that the proxy names."""
    token = Headers(scope=scope).get("authorization")
    if token:
        return hashlib.sha256(token.encode()).hexdigest()
    client = scope.get("client")
    return client[0] if client else ""
