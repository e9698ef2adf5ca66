"""What happens to every request: the gate, a limit on bodies, and headers that keep browsers honest."""

from __future__ import annotations

import psycopg
from psycopg_pool import PoolTimeout
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resilience.plaza import mode
from resilience.plaza.answers import refusal
from resilience.plaza.errors import Refused
from resilience.plaza.policy import HEADERS

OPEN_ALWAYS = ("/healthz", "/readyz", "/metrics")
WRITABLE_ALWAYS = ("/moderation", "/api/v1/admin/", "/login", "/logout", "/oauth/", "/api/v1/apps")
"""Moderators decide before writes reopen, and they have to get in; who they are is asked there."""
MAX_BODY = 70 * 1024 * 1024
"""Four pictures of the largest size, and some text."""


class SecurityHeaders:
    """Adds what is missing of the headers that OWASP recommends."""

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        self._headers = dict(HEADERS)
        if secure:
            self._headers["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; complete the answer's headers."""

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "private, no-store")
            await send(message)

        await self._app(scope, receive, complete if scope["type"] == "http" else send)


class BodyLimit:
    """Refuses bodies that nobody needs to send, declared or not."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what arrives, and stop reading at the limit."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit() or int(declared) > self._limit:
            await refusal(Request(scope), self._refused())(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise self._refused()
            return message

        await self._app(scope, counted, send)

    def _refused(self) -> Refused:
        return Refused(413, f"A request may have up to {self._limit // 1024 // 1024} MB")


class Gatekeeper:
    """Serves nothing but its own health until the ledger was replayed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or say that plaza isn't open yet."""
        closed = scope["type"] == "http" and scope["path"] not in OPEN_ALWAYS
        if closed and scope["app"].state.plaza.gate.why_closed is not None:
            closed_now = Refused(503, "Plaza is not open yet. Try again in a moment.")
            await refusal(Request(scope), closed_now)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class ReadOnly:
    """In read-only mode lets moderators decide, people log in and out, and nobody else write."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or say that nothing can be written now."""
        writes = scope["type"] == "http" and scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if writes and not scope["path"].startswith(WRITABLE_ALWAYS):
            why = await self._why_not(scope)
            if why is not None:
                text = f"Plaza can be read but not written to right now. {why}".strip()
                await refusal(Request(scope), Refused(503, text))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _why_not(self, scope: Scope) -> str | None:
        """Why nobody may write; a database that is away answers for itself later."""
        try:
            async with scope["app"].state.plaza.db.read() as conn:
                now = await mode.current(conn)
        except (psycopg.Error, PoolTimeout):
            return None
        return now.why if now.read_only else None


class OneSlash:
    """Treats `/api/v1/reports/` as `/api/v1/reports`, as Mastodon does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Drop the last slash of an API's path."""
        path = scope.get("path", "")
        if path.startswith("/api/") and path.endswith("/"):
            scope = {**scope, "path": path.rstrip("/")}
        await self._app(scope, receive, send)


class OpenToApps:
    """Lets apps in other people's browsers use the API; they carry a token, never our cookies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._cors = CORSMiddleware(
            app,
            allow_origins=["*"],
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Link", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for other origins where programs talk to us."""
        programs = scope["type"] == "http" and scope["path"].startswith(
            ("/api/", "/oauth/token", "/oauth/revoke", "/media/", "/.well-known/")
        )
        await (self._cors if programs else self._app)(scope, receive, send)
