"""Lanes: who a request is from, so that people inside never wait for those who only want to come in."""

from __future__ import annotations

from contextvars import ContextVar

from starlette.datastructures import Headers
from starlette.types import Scope

INSIDE, LINE, OUTSIDE, ALWAYS = "inside", "line", "outside", "always"
FREE = ("/healthz", "/readyz", "/metrics", "/static/", "/media/")
TO_THE_LINE = ("/register", "/waiting", "/confirm", "/login", "/oauth/token", "/api/v1/accounts", "/api/v1/apps")

current: ContextVar[str] = ContextVar("lane", default=ALWAYS)
"""The lane of the request that is being served; work that no request asked for is in none."""


def lane_of(scope: Scope) -> str:
    """Where a request belongs. Who only claims to be inside gains a place, and nothing else."""
    path: str = scope["path"]
    if path.startswith(FREE):
        return ALWAYS
    headers = Headers(scope=scope)
    if "plaza_session=" in headers.get("cookie", "") or "authorization" in headers:
        return INSIDE
    return LINE if path.rstrip("/") in TO_THE_LINE or path.startswith("/confirm/") else OUTSIDE
