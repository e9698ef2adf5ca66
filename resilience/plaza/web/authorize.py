"""Authorizing an app: a person says yes, the app gets a code."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from resilience.plaza import access
from resilience.plaza.access import App
from resilience.plaza.db import Connection
from resilience.plaza.errors import Refused
from resilience.plaza.policy import ANY_FORM_ACTION
from resilience.plaza.state import plaza_of
from resilience.plaza.web.render import page
from resilience.plaza.web.visitor import Visitor, checked_form, field, member

MEANING = {
    "read": "See your profile, your timelines and whom you follow",
    "write": "Post, upload pictures, report and change your profile as you",
    "follow": "Follow and unfollow people as you",
    "push": "Send you notifications",
    "profile": "See who you are",
    "admin:read": "See reports, if you are a moderator",
    "admin:write": "Decide on reports, if you are a moderator",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What an app asks for."""

    app: App
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str
    challenge: str | None


async def authorize(request: Request) -> Response:
    """Show what the app wants; on yes, give it a code."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        who, me = await member(request, conn)
        if request.method == "POST":
            form = await checked_form(request, who)
            wish = await _wish(conn, form)
        else:
            form = None
            wish = await _wish(conn, request.query_params)
    if form is None:
        meanings = [MEANING.get(scope, scope) for scope in wish.scopes]
        return _page(request, "authorize.html", {"wish": wish, "meanings": meanings}, who)
    if field(form, "answer") != "yes":
        return _back(wish, {"error": "access_denied"})
    async with plaza.db.write() as conn:
        code = await access.issue_code(conn, wish.app, me.id, wish.redirect_uri, wish.scopes, wish.challenge)
    if wish.redirect_uri == access.OUT_OF_BAND:
        return _page(request, "code.html", {"code": code, "app": wish.app}, who)
    return _back(wish, {"code": code})


async def _wish(conn: Connection, values: FormData | QueryParams) -> Wish:
    """What is asked for; refuses, without sending anybody anywhere, what can't be right."""

    def text(name: str) -> str:
        value = values.get(name)
        return value if isinstance(value, str) else ""

    app = await access.find_app(conn, text("client_id"))
    uri = text("redirect_uri") or (app.redirect_uris[0] if app else "")
    if app is None or uri not in app.redirect_uris:
        raise Refused(400, "This app is not known here, or asks to be answered elsewhere than it said.")
    if text("response_type") != "code":
        raise Refused(400, "This app asks for something other than a code.")
    scopes = access.parse_scopes(text("scope"))
    if not access.within(scopes, app.scopes):
        raise Refused(400, "This app asks for more than it was registered for.")
    challenge = text("code_challenge") or None
    if challenge and text("code_challenge_method") != "S256":
        raise Refused(400, "This app protects its code in a way that Plaza doesn't know.")
    return Wish(app, uri, scopes, text("state"), challenge)


def _page(request: Request, template: str, values: dict[str, object], who: Visitor) -> Response:
    return page(request, template, values, headers={"Content-Security-Policy": ANY_FORM_ACTION}, who=who)


def _back(wish: Wish, answer: dict[str, str]) -> Response:
    if wish.redirect_uri == access.OUT_OF_BAND:
        raise Refused(403, "You said no. You can close this page.")
    if wish.state:
        answer = {**answer, "state": wish.state}
    mark = "&" if "?" in wish.redirect_uri else "?"
    return RedirectResponse(wish.redirect_uri + mark + urlencode(answer), status_code=302)


ROUTES = [Route("/oauth/authorize", authorize, methods=["GET", "POST"])]
