"""Lanes: who a request is from, so that people inside never wait for those who only want to come in."""

from __future__ import annotations

from collections import OrderedDict
from contextvars import ContextVar

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from resilience.plaza.bearer import digest

INSIDE, CLAIMED, LINE, OUTSIDE, ALWAYS = "inside", "claimed", "line", "outside", "always"
FREE = ("/healthz", "/readyz", "/metrics", "/static/", "/media/")
TO_THE_LINE = ("/register", "/waiting", "/confirm", "/login", "/oauth/token", "/api/v1/accounts", "/api/v1/apps")
SESSION = "plaza_session"
REMEMBERED = 100_000

current: ContextVar[str] = ContextVar("lane", default=ALWAYS)
"""The lane of the request that is being served; work that no request asked for is in none."""


class Known:
    """Tokens and sessions that the database was seen to have; whoever brings another one only claims to be inside."""

    def __init__(self) -> None:
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def has(self, secret: str) -> bool:
        """Whether it was good when it was last looked up."""
        hashed = digest(secret)
        if hashed not in self._good:
            return False
        self._good.move_to_end(hashed)
        return True

    def welcome(self, secret: str) -> None:
        """It is good: who brings it is inside, from this request on."""
        self._good[digest(secret)] = None
        if len(self._good) > REMEMBERED:
            self._good.popitem(last=False)
        current.set(INSIDE)

    def forget(self, secret: str) -> None:
        """It is good no more."""
        self._good.pop(digest(secret), None)


def lane_of(scope: Scope, known: Known) -> str:
    """Where a request belongs."""
    path: str = scope["path"]
    if path.startswith(FREE):
        return ALWAYS
    secret = bearer_of(scope) or cookie_parser(Headers(scope=scope).get("cookie", "")).get(SESSION)
    if secret:
        return INSIDE if known.has(secret) else CLAIMED
    return LINE if path.rstrip("/") in TO_THE_LINE or path.startswith("/confirm/") else OUTSIDE


def bearer_of(scope: Scope) -> str | None:
    """The token that a request brings, good or not."""
    kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    return token.strip() or None if kind.lower() == "bearer" else None
