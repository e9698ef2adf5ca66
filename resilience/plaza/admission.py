"""Admission: when more people come than can be served, those inside go first, the others see a page that tries again."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from resilience.plaza.answers import refusal
from resilience.plaza.errors import Refused

INSIDE, LINE, OUTSIDE, ALWAYS = "inside", "line", "outside", "always"
ROOM = {INSIDE: 400, LINE: 32, OUTSIDE: 24}
"""Requests that may be open at once: of people inside, of people who sign up or wait in line, of everybody else."""
FREE = ("/healthz", "/readyz", "/metrics", "/static/", "/media/")
TO_THE_LINE = ("/register", "/waiting", "/confirm", "/login", "/oauth/token", "/api/v1/accounts", "/api/v1/apps")
FULL = "Many people are here right now. This page tries again by itself; nothing was changed."


class Admission:
    """Bounds the requests that are open at once, for each lane by itself, so that no lane takes another's place."""

    def __init__(self, app: ASGIApp, room: dict[str, int] | None = None) -> None:
        self._app = app
        self._room = room or ROOM
        self._open = dict.fromkeys(self._room, 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or say when to come again."""
        lane = lane_of(scope) if scope["type"] == "http" else ALWAYS
        if lane == ALWAYS:
            await self._app(scope, receive, send)
            return
        if self._open[lane] >= self._room[lane]:
            await refusal(Request(scope), Refused(503, FULL))(scope, receive, send)
            return
        self._open[lane] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open[lane] -= 1


def lane_of(scope: Scope) -> str:
    """Where a request belongs. Who only claims to be inside gains a place, and nothing else."""
    path: str = scope["path"]
    if path.startswith(FREE):
        return ALWAYS
    headers = Headers(scope=scope)
    if "plaza_session=" in headers.get("cookie", "") or "authorization" in headers:
        return INSIDE
    return LINE if path.rstrip("/") in TO_THE_LINE or path.startswith("/confirm/") else OUTSIDE
