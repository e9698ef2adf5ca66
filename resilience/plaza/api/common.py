"""What every endpoint needs: who calls, and how to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from resilience.plaza import access
from resilience.plaza.access import Caller
from resilience.plaza.accounts import Account
from resilience.plaza.db import Connection
from resilience.plaza.errors import Refused
from resilience.plaza.lanes import bearer_of
from resilience.plaza.paging import Page, link_header
from resilience.plaza.state import plaza_of


@dataclass(frozen=True, slots=True)
class User:
    """A person who calls through an app."""

    account: Account
    app_id: int


async def caller(request: Request, conn: Connection) -> Caller | None:
    """Who the bearer token belongs to; None without one. A wrong token is refused."""
    if not request.headers.get("authorization"):
        return None
    token = bearer_of(request.scope)
    found = await access.caller(conn, token) if token else None
    if token and found is None:
        plaza_of(request).known.forget(token)
    if found is None:
        raise Refused(401, "The access token is invalid")
    return found


async def app_caller(request: Request, conn: Connection) -> Caller:
    """An app with a token, with or without a person."""
    found = await caller(request, conn)
    if found is None:
        raise Refused(401, "The access token is invalid")
    return found


async def user(request: Request, conn: Connection, scope: str) -> User:
    """A person whose token covers the scope."""
    found = await app_caller(request, conn)
    if found.account is None:
        raise Refused(422, "This method requires an authenticated user")
    _check(found, scope)
    return User(found.account, found.app.id)


async def moderator(request: Request, conn: Connection, scope: str) -> User:
    """A person who may moderate, with a token that says so."""
    found = await user(request, conn, scope)
    if not found.account.is_moderator:
        raise Refused(403, "This action is not allowed")
    return found


async def reader(request: Request, conn: Connection, scope: str) -> int | None:
    """Id of whoever reads; None for the public. A token, where there is one, has to cover the scope."""
    found = await caller(request, conn)
    if found is None:
        return None
    _check(found, scope)
    return found.account.id if found.account else None


def _check(found: Caller, scope: str) -> None:
    """Refuse a token of somebody who is suspended, or one that was given for something else."""
    if found.account is not None and found.account.suspended_at is not None:
        raise Refused(403, "Your login is currently disabled")
    if not found.may(scope):
        raise Refused(403, "This action is outside the authorized scopes")


def base_of(request: Request) -> str:
    """The public address that links start with."""
    return plaza_of(request).settings.public_url


def paged(
    request: Request, items: Sequence[Mapping[str, Any]], page: Page, marks: Sequence[int] | None = None
) -> Response:
    """A list with its Link header; `marks` where it goes on by other ids than the items' own."""
    ids = [int(item["id"]) for item in items] if marks is None else marks
    url = base_of(request) + request.url.path
    link = link_header(url, request.query_params, ids, page)
    return JSONResponse(list(items), headers={"Link": link} if link else None)
