"""Answers to requests that fail: JSON for programs, a page for people, never a stack trace."""

from __future__ import annotations

from urllib.parse import urlencode

import psycopg
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from resilience.plaza.db import PoolFull
from resilience.plaza.errors import NotSafeElsewhere, PlazaError, Refused
from resilience.plaza.web.render import page
from resilience.plaza.web.visitor import LogInFirst, OnlyAppeal

log = structlog.get_logger()
AWAY = "Plaza can't reach its database right now. Nothing was changed. Try again in a moment."
BUSY = "Plaza has more to do right now than it can at once. Try again in a moment."
READ_ONLY = "Plaza can be read but not written to right now. Nothing was changed."
AGAIN_S = 5
"""When a page that was not served looks again by itself."""
TITLES = {
    400: "That did not work", 401: "Log in first", 403: "Not allowed", 404: "Nothing here",
    405: "That did not work", 413: "Too large", 422: "That did not work", 429: "Slow down",
    500: "Our mistake", 503: "Not right now",
}  # fmt: skip
SENTENCES = {
    404: "This page doesn't exist, or it isn't for you to see.",
    405: "This address can't be used in this way.",
    500: "Something broke on our side. It was written down. Try again in a moment.",
}


def refusal(request: Request, error: Refused) -> Response:
    """The answer for a refused request."""
    again = AGAIN_S if error.status == 503 and request.method == "GET" else 0
    headers = {"Retry-After": str(again or 1)} if error.status in (429, 503) else None
    if wants_json(request):
        body: dict[str, object] = {"error": error.message}
        if error.details is not None:
            body["details"] = error.details
        description = getattr(error, "description", None)
        if description:
            body["error_description"] = description
        return JSONResponse(body, error.status, headers)
    title = TITLES.get(error.status, "That did not work")
    message = SENTENCES.get(error.status, "") if error.status == 404 else error.message
    values = {"title": title, "message": message, "status": error.status, "again": again}
    return page(request, "error.html", values, error.status, headers)


def wants_json(request: Request) -> bool:
    """Whether the caller is a program."""
    path = request.url.path
    if path.startswith(("/api/", "/.well-known/")) or path in (
        "/oauth/token", "/oauth/revoke", "/healthz", "/readyz",
    ):  # fmt: skip
        return True
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept


async def on_refused(request: Request, error: Exception) -> Response:
    """A request that was refused."""
    assert isinstance(error, Refused)
    return refusal(request, error)


async def on_guest(request: Request, error: Exception) -> Response:
    """A guest at a page for people who are logged in: log in, then come back."""
    goal = request.url.path if request.method == "GET" else "/"
    if request.method == "GET" and request.url.query:
        goal += "?" + request.url.query
    return RedirectResponse("/login?" + urlencode({"next": goal}), status_code=303)


async def on_suspended(request: Request, error: Exception) -> Response:
    """Somebody who is suspended: what was decided, and how to appeal."""
    return RedirectResponse("/decisions", status_code=303)


async def on_http(request: Request, error: Exception) -> Response:
    """A path or method that doesn't exist."""
    assert isinstance(error, HTTPException)
    text = "Record not found" if error.status_code == 404 else str(error.detail)
    if not wants_json(request):
        text = SENTENCES.get(error.status_code, text)
    return refusal(request, Refused(error.status_code, text))


async def on_away(request: Request, error: Exception) -> Response:
    """The database is away."""
    log.warning("database away", path=request.url.path, why=str(error).strip()[:200])
    return refusal(request, Refused(503, AWAY))


async def on_full(request: Request, error: Exception) -> Response:
    """The database is there, and has no connection left for this request."""
    log.warning("pool full", path=request.url.path, why=str(error))
    return refusal(request, Refused(503, BUSY))


async def on_read_only(request: Request, error: Exception) -> Response:
    """The database takes no writes: a standby, or a site that was fenced off."""
    return refusal(request, Refused(503, READ_ONLY))


async def on_unsafe(request: Request, error: Exception) -> Response:
    """Done here, but nobody may be told so yet."""
    log.warning("not safe elsewhere", path=request.url.path, why=str(error))
    return refusal(request, Refused(503, str(error)))


async def on_problem(request: Request, error: Exception) -> Response:
    """Something only an operator can mend, such as a broken ledger."""
    log.error("problem", path=request.url.path, what=str(error))
    return refusal(request, Refused(503, "Plaza can't do this right now. Its operators can see why."))


async def on_bad_data(request: Request, error: Exception) -> Response:
    """A value that the database can't store."""
    return refusal(request, Refused(422, "Validation failed: A value can't be stored"))


async def on_crash(request: Request, error: Exception) -> Response:
    """Everything else is our mistake."""
    log.error("crash", path=request.url.path, exc_info=error)
    return refusal(request, Refused(500, SENTENCES[500]))


HANDLERS = {
    Refused: on_refused,
    LogInFirst: on_guest,
    OnlyAppeal: on_suspended,
    HTTPException: on_http,
    NotSafeElsewhere: on_unsafe,
    psycopg.errors.ReadOnlySqlTransaction: on_read_only,
    PoolFull: on_full,
    psycopg.OperationalError: on_away,
    psycopg.InterfaceError: on_away,
    psycopg.DataError: on_bad_data,
    PlazaError: on_problem,
    Exception: on_crash,
}
