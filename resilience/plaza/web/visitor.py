"""Visitors: who looks at a page, and whether a form really comes from them."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from resilience.plaza import access, lanes
from resilience.plaza.accounts import Account
from resilience.plaza.bearer import form_token, new_secret, same
from resilience.plaza.db import Connection
from resilience.plaza.errors import Refused
from resilience.plaza.state import plaza_of

SESSION, GUEST, HALF = lanes.SESSION, "plaza_guest", "plaza_half"
STALE = "This form is out of date. Go back, reload the page and try again."


class LogInFirst(Exception):
    """A page that only somebody who is logged in may see."""


class OnlyAppeal(Exception):
    """Somebody who is suspended, at a page that they can't use."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody with a browser: a person who is logged in, or a guest."""

    account: Account | None
    token: str
    guest_cookie: str | None = None

    @property
    def id(self) -> int | None:
        """The account's id; None for a guest."""
        return self.account.id if self.account else None


async def visitor(request: Request, conn: Connection) -> Visitor:
    """Who looks at the page."""
    session = request.cookies.get(SESSION)
    account = await access.session_account(conn, session) if session else None
    if session and account:
        plaza_of(request).known.welcome(session)
        return Visitor(account, form_token(session))
    if session:
        plaza_of(request).known.forget(session)
    return guest(request)


def guest(request: Request) -> Visitor:
    """Somebody who is not logged in."""
    cookie = request.cookies.get(GUEST)
    if cookie:
        return Visitor(None, form_token(cookie))
    fresh = new_secret()
    return Visitor(None, form_token(fresh), fresh)


async def anybody(request: Request, conn: Connection) -> tuple[Visitor, Account]:
    """Somebody who is logged in, suspended or not; others are sent to log in."""
    who = await visitor(request, conn)
    if who.account is None:
        raise LogInFirst
    return who, who.account


async def member(request: Request, conn: Connection) -> tuple[Visitor, Account]:
    """Somebody who is logged in and may do things; who is suspended is sent to where one appeals."""
    who, account = await anybody(request, conn)
    if account.suspended_at is not None:
        raise OnlyAppeal
    return who, account


async def moderator(request: Request, conn: Connection) -> tuple[Visitor, Account]:
    """Somebody who may moderate; for others there is nothing here."""
    who, account = await member(request, conn)
    if not account.is_moderator:
        raise Refused(404, "Record not found")
    return who, account


async def checked_form(request: Request, who: Visitor) -> FormData:
    """The form that was sent, if it was sent from one of our own pages."""
    if request.headers.get("sec-fetch-site", "same-origin") == "cross-site":
        raise Refused(403, STALE)
    form = await request.form(max_files=4, max_fields=40)
    sent = form.get("token")
    if who.guest_cookie is not None or not isinstance(sent, str) or not same(sent, who.token):
        raise Refused(403, STALE)
    return form


def field(form: FormData, name: str) -> str:
    """One text field, with line ends as people mean them."""
    value = form.get(name)
    return value.replace("\r\n", "\n") if isinstance(value, str) else ""


def remember(request: Request, answer: Response, session: str) -> Response:
    """Put the session into a cookie that scripts can't read."""
    answer.set_cookie(
        SESSION,
        session,
        max_age=access.SESSION_DAYS * 86400,
        path="/",
        secure=plaza_of(request).settings.secure,
        httponly=True,
        samesite="lax",
    )
    return answer


def half_way(request: Request, answer: Response, half: str) -> Response:
    """Put what stands for a right password into a cookie that is sent to the second step alone."""
    secure = plaza_of(request).settings.secure
    answer.set_cookie(HALF, half, max_age=600, path="/login", secure=secure, httponly=True, samesite="lax")
    return answer


def see(path: str, said: str | None = None) -> Response:
    """Send the browser to a page of ours, with something to say there."""
    if said:
        path += ("&" if "?" in path else "?") + "said=" + said
    return RedirectResponse(path, status_code=303)


def local_path(text: str, default: str = "/") -> str:
    """A path on this site, whatever somebody wrote into the address."""
    if text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() and "\\" not in text:
        return text
    return default
