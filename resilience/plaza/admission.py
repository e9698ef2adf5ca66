"""Admission: when more people come than can be served, those inside go first, the others see a page that tries again."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from resilience.plaza.answers import refusal
from resilience.plaza.errors import Refused
from resilience.plaza.lanes import ALWAYS, CLAIMED, INSIDE, LINE, OUTSIDE, current, lane_of

ROOM = {INSIDE: 400, CLAIMED: 128, LINE: 32, OUTSIDE: 24}
"""Requests that may be open at once: of people inside, of those whose token or session nobody has looked up yet,
of people who sign up or wait in line, of everybody else."""
FULL = "Many people are here right now. This page tries again by itself; nothing was changed."


class Admission:
    """Bounds the requests that are open at once, for each lane by itself, so that no lane takes another's place."""

    def __init__(self, app: ASGIApp, room: dict[str, int] | None = None) -> None:
        self._app = app
        self._room = room or ROOM
        self._open = dict.fromkeys(self._room, 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or say when to come again."""
        lane = lane_of(scope, scope["app"].state.plaza.known) if scope["type"] == "http" else ALWAYS
        if lane == ALWAYS:
            await self._app(scope, receive, send)
            return
        if self._open[lane] >= self._room[lane]:
            await refusal(Request(scope), Refused(503, FULL))(scope, receive, send)
            return
        self._open[lane] += 1
        current.set(lane)
        try:
            await self._app(scope, receive, send)
        finally:
            self._open[lane] -= 1
