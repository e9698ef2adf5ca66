"""Joining: sign up, stand in line, and come in when it is one's turn. Works without JavaScript."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from resilience.plaza import access, accounts, signups
from resilience.plaza.bearer import new_secret
from resilience.plaza.errors import Refused
from resilience.plaza.signups import COUNTED, DONE, WAITING, Place
from resilience.plaza.state import plaza_of
from resilience.plaza.web.render import page
from resilience.plaza.web.visitor import SESSION, Visitor, checked_form, field, guest, remember, see, visitor

TICKET = "plaza_place"
SOONEST_S, LATEST_S, LATER_S = 3, 60, 30
"""How often a waiting page looks again: near the door often, at the end of a long line seldom."""
MINUTE = 60


async def register(request: Request) -> Response:
    """The form to sign up, and signing up."""
    plaza = plaza_of(request)
    who = await _newcomer(request)
    if request.method != "POST":
        if request.cookies.get(TICKET) and "again" not in request.query_params:
            return RedirectResponse("/waiting", status_code=303)
        return _form(request, who)
    form = await checked_form(request, who)
    name, password = field(form, "username").strip().lstrip("@"), field(form, "password")
    email = field(form, "email").strip() if plaza.mailer.is_on else None
    problems = accounts.check_registration(name, password, email, agreement=bool(field(form, "agreement")))
    if problems:
        return _form(request, who, name, {key: text for key, (_, text) in problems.items()})
    ticket, is_busy = field(form, "key") or new_secret(), plaza.door.is_busy
    try:
        async with plaza.db.write(safe=is_busy) as conn:
            place = await signups.join(conn, ticket, name, plaza.door.seal(password), email)
    except Refused as error:
        if error.details is None:
            raise
        return _form(request, who, name, dict.fromkeys(error.details, "has already been taken"))
    if not is_busy:
        await plaza.door.ring(place.id, plaza.settings.line_wait_s)
        async with plaza.db.read() as conn:
            place = await signups.look(conn, ticket) or place
    if inside := await _come_in(request, place):
        return inside
    if not is_busy:
        await plaza.db.confirmed()
    return _stand(request, ticket)


async def waiting(request: Request) -> Response:
    """One's place in line; reloads itself, and lets in."""
    plaza = plaza_of(request)
    ticket = request.cookies.get(TICKET, "")
    async with plaza.db.read() as conn:
        place = await signups.look(conn, ticket) if ticket else None
    if place is not None and (inside := await _come_in(request, place)):
        return inside
    if place is None:
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(TICKET, path="/")
        return answer
    wait_s = (place.before + 1) / plaza.door.per_second
    again = _again_s(place, wait_s)
    values = {"place": place, "heading": HEADINGS[place.state], "again": again, "counted": COUNTED}
    headers = {"Retry-After": str(again)} if again else None
    return page(request, "waiting.html", {**values, "wait": _in_words(wait_s)}, headers=headers)


async def confirm(request: Request) -> Response:
    """The link in the mail: a page with one button, since programs open links too; the button makes the account."""
    plaza, secret = plaza_of(request), request.path_params["secret"]
    async with plaza.db.read() as conn:
        who = await visitor(request, conn)
        name = await signups.confirmable(conn, secret)
    if request.method != "POST":
        return page(request, "confirm.html", {"name": name}, who=who)
    await checked_form(request, who)
    async with plaza.db.write(safe=True) as conn:
        account_id = await signups.confirm(conn, secret)
        session = await access.start_session(conn, account_id) if account_id else None
    if session is None:
        return _form(request, who, name, {"username": "has already been taken"})
    answer = remember(request, see("/", "welcome"), session)
    answer.delete_cookie(TICKET, path="/")
    return answer


HEADINGS = {
    WAITING: "You are in line",
    signups.UNCONFIRMED: "One step left",
    signups.REFUSED: "That did not work",
}


async def _newcomer(request: Request) -> Visitor:
    """Who opens the form; the database is asked only about people who say that they are inside."""
    if not request.cookies.get(SESSION):
        return guest(request)
    async with plaza_of(request).db.read() as conn:
        return await visitor(request, conn)


async def _come_in(request: Request, place: Place) -> Response | None:
    """Log in with a place, once there is an account for it; said only when the account is held elsewhere too."""
    if place.state != DONE or place.account_id is None:
        return None
    async with plaza_of(request).db.write(safe=True) as conn:
        session = await access.start_session(conn, place.account_id)
    answer = remember(request, see("/", "welcome"), session)
    answer.delete_cookie(TICKET, path="/")
    return answer


def _stand(request: Request, ticket: str) -> Response:
    """Show the line, and remember which place in it is one's own."""
    answer = see("/waiting")
    secure = plaza_of(request).settings.secure
    answer.set_cookie(TICKET, ticket, max_age=172_800, path="/", secure=secure, httponly=True, samesite="lax")
    return answer


def _form(request: Request, who: Visitor, name: str = "", problems: dict[str, str] | None = None) -> Response:
    values = {
        "name": name,
        "problems": problems or {},
        "key": new_secret(),
        "asks_mail": plaza_of(request).mailer.is_on,
    }
    return page(request, "register.html", values, 422 if problems else 200, who=who)


def _again_s(place: Place, wait_s: float) -> int:
    if place.state != WAITING:
        return LATER_S if place.state == signups.UNCONFIRMED else 0
    return round(min(max(wait_s * 0.6, SOONEST_S), LATEST_S))


def _in_words(seconds: float) -> str:
    if seconds < MINUTE:
        return "less than a minute"
    minutes = round(seconds / MINUTE)
    return "a minute" if minutes == 1 else f"{minutes} minutes"


ROUTES = [
    Route("/register", register, methods=["GET", "POST"]),
    Route("/waiting", waiting),
    Route("/confirm/{secret}", confirm, methods=["GET", "POST"]),
]
