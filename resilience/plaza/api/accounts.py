"""Accounts, profiles and follows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import access, accounts, dropped, entities, posts, profiles, signups
from resilience.plaza.access import App
from resilience.plaza.api.common import app_caller, base_of, paged, reader, user
from resilience.plaza.api.oauth import token_entity
from resilience.plaza.bearer import digest, new_secret
from resilience.plaza.db import Connection
from resilience.plaza.errors import Refused, not_found
from resilience.plaza.ids import parse_id
from resilience.plaza.paging import read_page
from resilience.plaza.params import read_params
from resilience.plaza.state import Plaza, plaza_of

PATIENCE = 3
"""How many times longer than a browser an app waits for its answer: it has no page that looks again."""


async def register(request: Request) -> Response:
    """POST /api/v1/accounts: a new account, and a token for it."""
    plaza = plaza_of(request)
    params = await read_params(request)
    name, password = params.text("username"), params.text("password")
    email = params.optional("email") or ("" if plaza.mailer.is_on else None)
    async with plaza.db.read() as conn:
        found = await app_caller(request, conn)
    if not found.may("write:accounts"):
        raise Refused(403, "This action is outside the authorized scopes")
    problems = accounts.check_registration(name, password, email, agreement=params.flag("agreement"))
    if problems:
        raise accounts.refused(problems)
    ticket = new_secret()
    async with plaza.db.write() as conn:
        place = await signups.join(conn, ticket, name, plaza.door.seal(password), email)
    await plaza.door.ring(place.id, PATIENCE * plaza.settings.line_wait_s)
    token = await _token(plaza, found.app, found.scopes, ticket)
    return JSONResponse(token_entity(token, found.scopes))


async def _token(plaza: Plaza, app: App, scopes: tuple[str, ...], ticket: str) -> str:
    """A token for the new account, once that is held elsewhere; while it waits in line, one that becomes its token by itself."""
    async with plaza.db.write(safe=True) as conn:
        place = await signups.look(conn, ticket)
        if place is None or place.state == signups.REFUSED:
            raise accounts.refused({"username": ("ERR_TAKEN", "has already been taken")})
        token = await access.issue_token(conn, app, place.account_id, scopes)
        waits = place.account_id is None
        if waits and not await signups.promise(conn, place.id, digest(token)):
            raise Refused(503, "Your account was made just now. Log in with your name and password.")
    return token


async def verify_credentials(request: Request) -> Response:
    """GET /api/v1/accounts/verify_credentials: who I am."""
    async with plaza_of(request).db.read() as conn:
        me = await user(request, conn, "read:accounts")
    return JSONResponse(entities.credential_account(me.account, base_of(request)))


async def update_credentials(request: Request) -> Response:
    """PATCH /api/v1/accounts/update_credentials: name, note, fields, avatar, header; what wasn't sent stays."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        await user(request, conn, "write:accounts")
    params = await read_params(request)
    files = {purpose: file for purpose in profiles.SHAPES if (file := params.file(purpose)) and file.filename}
    pictures = {p: await plaza.darkroom.develop(file, profiles.SHAPES[p]) for p, file in files.items()}
    texts = {name: params.optional(name) for name in profiles.LONGEST}
    fields = params.pairs("fields_attributes", "name", "value")
    async with plaza.db.write() as conn:
        me = await user(request, conn, "write:accounts")
        changed = await profiles.update(conn, me.account.id, texts, fields)
        for purpose, picture in pictures.items():
            changed = await profiles.show(conn, plaza.store, me.account.id, purpose, picture)
    await dropped.erase(plaza)
    return JSONResponse(entities.credential_account(changed, base_of(request)))


async def hide_picture(request: Request) -> Response:
    """DELETE /api/v1/profile/avatar and /header: show none."""
    plaza = plaza_of(request)
    async with plaza.db.write() as conn:
        me = await user(request, conn, "write:accounts")
        purpose = request.url.path.rpartition("/")[2]
        changed = await profiles.hide(conn, me.account.id, purpose)
    await dropped.erase(plaza)
    return JSONResponse(entities.credential_account(changed, base_of(request)))


async def familiar_followers(request: Request) -> Response:
    """GET /api/v1/accounts/familiar_followers: nobody, since everybody's lists are their own (`hide_collections`)."""
    params = await read_params(request)
    async with plaza_of(request).db.read() as conn:
        await user(request, conn, "read:follows")
        found = await accounts.many(conn, params.ids("id")[:80])
    return JSONResponse([{"id": str(one), "accounts": []} for one in found])


async def show(request: Request) -> Response:
    """GET /api/v1/accounts/:id."""
    async with plaza_of(request).db.read() as conn:
        await reader(request, conn, "read:accounts")
        found = await accounts.by_id(conn, parse_id(request.path_params["id"]))
    return JSONResponse(entities.account(found, base_of(request)))


async def lookup(request: Request) -> Response:
    """GET /api/v1/accounts/lookup?acct=name."""
    plaza = plaza_of(request)
    name, _, domain = request.query_params.get("acct", "").lstrip("@").partition("@")
    if domain and domain != plaza.settings.domain:
        raise not_found()
    async with plaza.db.read() as conn:
        await reader(request, conn, "read:accounts")
        found = await accounts.by_name(conn, name)
    return JSONResponse(entities.account(found, base_of(request)))


async def statuses(request: Request) -> Response:
    """GET /api/v1/accounts/:id/statuses."""
    page = read_page(request.query_params)
    params = await read_params(request)
    async with plaza_of(request).db.read() as conn:
        me = await reader(request, conn, "read:statuses")
        author = await accounts.by_id(conn, parse_id(request.path_params["id"]))
        if params.flag("pinned"):
            return paged(request, [], page)
        found = await posts.of_account(
            conn, author.id, me, page,
            only_media=params.flag("only_media"), exclude_replies=params.flag("exclude_replies"),
        )  # fmt: skip
    return paged(request, entities.statuses(found, base_of(request)), page)


async def follow(request: Request) -> Response:
    """POST /api/v1/accounts/:id/follow."""
    return await _change_follow(request, accounts.follow)


async def unfollow(request: Request) -> Response:
    """POST /api/v1/accounts/:id/unfollow."""
    return await _change_follow(request, accounts.unfollow)


async def _change_follow(request: Request, change: Callable[[Connection, int, int], Awaitable[None]]) -> Response:
    target = parse_id(request.path_params["id"])
    async with plaza_of(request).db.write() as conn:
        me = await user(request, conn, "write:follows")
        await accounts.by_id(conn, target)
        await change(conn, me.account.id, target)
        [found] = await accounts.relationships(conn, me.account.id, [target])
    return JSONResponse(entities.relationship(found))


async def relationships(request: Request) -> Response:
    """GET /api/v1/accounts/relationships: how I stand to several people."""
    params = await read_params(request)
    async with plaza_of(request).db.read() as conn:
        me = await user(request, conn, "read:follows")
        found = await accounts.relationships(conn, me.account.id, params.ids("id")[:80])
    return JSONResponse([entities.relationship(one) for one in found])


ROUTES = [
    Route("/api/v1/accounts", register, methods=["POST"]),
    Route("/api/v1/accounts/verify_credentials", verify_credentials),
    Route("/api/v1/accounts/update_credentials", update_credentials, methods=["PATCH"]),
    Route("/api/v1/profile/avatar", hide_picture, methods=["DELETE"]),
    Route("/api/v1/profile/header", hide_picture, methods=["DELETE"]),
    Route("/api/v1/accounts/familiar_followers", familiar_followers),
    Route("/api/v1/accounts/lookup", lookup),
    Route("/api/v1/accounts/relationships", relationships),
    Route("/api/v1/accounts/{id}", show),
    Route("/api/v1/accounts/{id}/statuses", statuses),
    Route("/api/v1/accounts/{id}/follow", follow, methods=["POST"]),
    Route("/api/v1/accounts/{id}/unfollow", unfollow, methods=["POST"]),
]
