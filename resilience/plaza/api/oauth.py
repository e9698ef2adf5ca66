"""Apps and tokens (OAuth 2.0, as Mastodon does it)."""

from __future__ import annotations

import base64
import binascii
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.plaza import access, accounts, secondfactor
from resilience.plaza.access import App
from resilience.plaza.api.common import app_caller, base_of
from resilience.plaza.db import Connection
from resilience.plaza.errors import Refused
from resilience.plaza.login import authenticate
from resilience.plaza.params import Params, read_params
from resilience.plaza.state import plaza_of

GRANTS = ("authorization_code", "client_credentials", "password")
WRONG_CLIENT = "Client authentication failed due to unknown client or wrong secret."
WRONG_GRANT = "The provided authorization grant is invalid, expired, revoked or already used."


class OAuthRefused(Refused):
    """An error as RFC 6749 words it: a code and a description."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(status, code)
        self.description = description


async def create_app(request: Request) -> Response:
    """POST /api/v1/apps: register a client program."""
    params = await read_params(request)
    name = params.text("client_name").strip()
    uris = tuple(" ".join(params.all("redirect_uris")).split())
    if not name or len(name) > 60:
        raise Refused(422, "Validation failed: Name can't be blank, and may have 60 characters")
    if not uris or any(not _allowed_uri(uri) for uri in uris):
        raise Refused(422, "Validation failed: Redirect URI must be an absolute URI.")
    scopes = access.parse_scopes(params.optional("scopes"))
    website = params.text("website") or None
    if website and not website.startswith(("http://", "https://")):
        raise Refused(422, "Validation failed: Website must be an http or https address")
    async with plaza_of(request).db.write() as conn:
        app, secret = await access.register_app(conn, name, uris, scopes, website)
    body = _app_entity(request, app) | {"client_id": app.client_id, "client_secret": secret}
    return JSONResponse(body | {"client_secret_expires_at": 0})


async def verify_app(request: Request) -> Response:
    """GET /api/v1/apps/verify_credentials: which app a token belongs to."""
    async with plaza_of(request).db.read() as conn:
        found = await app_caller(request, conn)
    return JSONResponse(_app_entity(request, found.app))


async def token(request: Request) -> Response:
    """POST /oauth/token: change a password, a code or an app's own secret for a token."""
    params = await read_params(request)
    grant = params.text("grant_type")
    if grant not in GRANTS:
        text = "The authorization grant type is not supported by the authorization server."
        raise OAuthRefused(400, "unsupported_grant_type", text)
    async with plaza_of(request).db.read() as conn:
        app = await _client(request, params, conn)
    account_id = None
    if grant == "password":
        account_id = await authenticate(request, params.text("username"), params.text("password"))
        if account_id is None:
            raise OAuthRefused(400, "invalid_grant", WRONG_GRANT)
    async with plaza_of(request).db.write() as conn:
        if account_id is not None and await secondfactor.is_on(conn, account_id):
            text = "This account has a second factor: the app has to send you to the website to log in."
            raise OAuthRefused(400, "invalid_grant", text)
        if grant == "authorization_code":
            account_id, scopes = await _code_grant(params, conn, app)
        else:
            scopes = _wanted(params, app)
        if account_id is not None and (await accounts.by_id(conn, account_id)).suspended_at is not None:
            raise OAuthRefused(403, "invalid_grant", "Your account is suspended. Log in on the website to appeal.")
        value = await access.issue_token(conn, app, account_id, scopes)
    return JSONResponse(token_entity(value, scopes), headers={"Cache-Control": "no-store"})


async def revoke(request: Request) -> Response:
    """POST /oauth/revoke: make a token worthless."""
    params = await read_params(request)
    async with plaza_of(request).db.write() as conn:
        try:
            app = await _client(request, params, conn)
        except OAuthRefused:
            text = "You are not authorized to revoke this token"
            raise OAuthRefused(403, "unauthorized_client", text) from None
        await access.revoke_token(conn, app, params.text("token"))
    return JSONResponse({})


async def metadata(request: Request) -> Response:
    """GET /.well-known/oauth-authorization-server (RFC 8414, which asks for https)."""
    base = base_of(request)
    if not plaza_of(request).settings.secure:
        raise Refused(404, "Record not found")
    return JSONResponse(
        {
            "issuer": base + "/",
            "authorization_endpoint": base + "/oauth/authorize",
            "token_endpoint": base + "/oauth/token",
            "revocation_endpoint": base + "/oauth/revoke",
            "app_registration_endpoint": base + "/api/v1/apps",
            "scopes_supported": sorted(access.SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": list(GRANTS),
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
        }
    )


def token_entity(value: str, scopes: tuple[str, ...]) -> dict[str, object]:
    """Token."""
    return {
        "access_token": value,
        "token_type": "Bearer",
        "scope": " ".join(scopes),
        "created_at": int(time.time()),
    }


async def _client(request: Request, params: Params, conn: Connection) -> App:
    client_id, secret = params.text("client_id"), params.text("client_secret")
    kind, _, encoded = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        client_id, secret = _basic(encoded)
    app = await access.find_app(conn, client_id, secret)
    if app is None:
        raise OAuthRefused(401, "invalid_client", WRONG_CLIENT)
    return app


async def _code_grant(params: Params, conn: Connection, app: App) -> tuple[int, tuple[str, ...]]:
    uri, verifier = params.text("redirect_uri"), params.optional("code_verifier")
    found = await access.take_code(conn, app, params.text("code"), uri, verifier)
    if found is None:
        raise OAuthRefused(400, "invalid_grant", WRONG_GRANT)
    return found


def _wanted(params: Params, app: App) -> tuple[str, ...]:
    """The scopes that are asked for; refuses one that the app was not registered with."""
    scopes = access.parse_scopes(params.optional("scope"))
    if not access.within(scopes, app.scopes):
        raise OAuthRefused(400, "invalid_scope", "The requested scope is invalid, unknown, or malformed.")
    return scopes


def _basic(encoded: str) -> tuple[str, str]:
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, secret


def _allowed_uri(uri: str) -> bool:
    scheme, colon, rest = uri.partition(":")
    bad = scheme.lower() in ("javascript", "data", "vbscript", "file", "blob", "about")
    return bool(colon and rest and scheme) and not bad and "#" not in uri


def _app_entity(request: Request, app: App) -> dict[str, object]:
    return {
        "id": str(app.id),
        "name": app.name,
        "website": app.website,
        "scopes": list(app.scopes),
        "redirect_uri": "\n".join(app.redirect_uris),
        "redirect_uris": list(app.redirect_uris),
        "vapid_key": plaza_of(request).pusher.public,
    }


ROUTES = [
    Route("/api/v1/apps", create_app, methods=["POST"]),
    Route("/api/v1/apps/verify_credentials", verify_app),
    Route("/oauth/token", token, methods=["POST"]),
    Route("/oauth/revoke", revoke, methods=["POST"]),
    Route("/.well-known/oauth-authorization-server", metadata),
]
