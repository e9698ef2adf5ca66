"""People: sign up, log in and out, follow, change or delete one's account."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from resilience.plaza import access, accounts, dropped, erasure, profiles, secondfactor
from resilience.plaza.errors import Refused
from resilience.plaza.login import authenticate
from resilience.plaza.pictures import Darkroom, Picture
from resilience.plaza.state import plaza_of
from resilience.plaza.web.render import page
from resilience.plaza.web.visitor import (
    SESSION,
    anybody,
    checked_form,
    field,
    half_way,
    local_path,
    member,
    remember,
    see,
    visitor,
)

WRONG = "That name and password don't belong together."


async def log_in(request: Request) -> Response:
    """The form to log in, and logging in."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        who = await visitor(request, conn)
    goal = local_path(request.query_params.get("next", "/"))
    if request.method != "POST":
        return page(request, "login.html", {"name": "", "problem": "", "next": goal}, who=who)
    form = await checked_form(request, who)
    name, goal = field(form, "username").strip(), local_path(field(form, "next"))
    try:
        account_id = await authenticate(request, name, field(form, "password"))
        problem, status = WRONG, 422
    except Refused as error:
        account_id, problem, status = None, error.message, error.status
    if account_id is None:
        values = {"name": name, "problem": problem, "next": goal}
        return page(request, "login.html", values, status, who=who)
    async with plaza.db.write() as conn:
        if await secondfactor.is_on(conn, account_id):
            half = await access.begin_half_login(conn, account_id)
            return half_way(request, see("/login/code?" + urlencode({"next": goal})), half)
        session = await access.start_session(conn, account_id)
    return remember(request, see(goal), session)


async def log_out(request: Request) -> Response:
    """Log out: the session is gone, not only its cookie."""
    async with plaza_of(request).db.write() as conn:
        who = await visitor(request, conn)
        await checked_form(request, who)
        await access.end_session(conn, request.cookies.get(SESSION, ""))
    answer = see("/", "bye")
    answer.delete_cookie(SESSION, path="/")
    return answer


async def follow(request: Request) -> Response:
    """Follow somebody."""
    return await _tie(request, begin=True)


async def unfollow(request: Request) -> Response:
    """Stop following somebody."""
    return await _tie(request, begin=False)


async def _tie(request: Request, *, begin: bool) -> Response:
    async with plaza_of(request).db.write() as conn:
        who, me = await member(request, conn)
        await checked_form(request, who)
        person = await accounts.by_name(conn, request.path_params["name"])
        change = accounts.follow if begin else accounts.unfollow
        await change(conn, me.id, person.id)
    return see(f"/@{person.username}")


async def settings(request: Request) -> Response:
    """Change what one shows of oneself: name, text, fields, two pictures."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        who, me = await member(request, conn)
    if request.method != "POST":
        return page(request, "settings.html", {"problem": ""}, who=who)
    form = await checked_form(request, who)
    texts = {name: field(form, name).strip() for name in profiles.LONGEST}
    numbers = range(1, profiles.MAX_FIELDS + 1)
    fields = [(field(form, f"name{number}"), field(form, f"value{number}")) for number in numbers]
    try:
        pictures = await _pictures(plaza.darkroom, form)
        async with plaza.db.write() as conn:
            await profiles.update(conn, me.id, texts, fields)
            for purpose, picture in pictures.items():
                if picture:
                    await profiles.show(conn, plaza.store, me.id, purpose, picture)
                else:
                    await profiles.hide(conn, me.id, purpose)
        await dropped.erase(plaza)
    except Refused as error:
        problem = error.message.removeprefix("Validation failed: ")
        return page(request, "settings.html", {"problem": problem}, error.status, who=who)
    return see("/settings", "saved")


async def _pictures(darkroom: Darkroom, form: FormData) -> dict[str, Picture | None]:
    """The pictures that somebody chose; None for one that they want to be rid of."""
    found: dict[str, Picture | None] = {}
    for purpose, shape in profiles.SHAPES.items():
        file = form.get(purpose)
        if isinstance(file, UploadFile) and file.filename:
            found[purpose] = await darkroom.develop(file, shape)
        elif field(form, f"no_{purpose}"):
            found[purpose] = None
    return found


async def delete_account(request: Request) -> Response:
    """Delete one's account with everything in it; the password is asked for again."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        who, me = await anybody(request, conn)
    if request.method != "POST":
        return page(request, "leave.html", {"problem": ""}, who=who)
    form: FormData = await checked_form(request, who)
    if await authenticate(request, me.username, field(form, "password")) != me.id:
        return page(request, "leave.html", {"problem": "That is not your password."}, 422, who=who)
    await plaza.record(erasure.erase_account(me.id))
    answer = see("/", "gone")
    answer.delete_cookie(SESSION, path="/")
    return answer


ROUTES = [
    Route("/login", log_in, methods=["GET", "POST"]),
    Route("/logout", log_out, methods=["POST"]),
    Route("/settings", settings, methods=["GET", "POST"]),
    Route("/settings/delete", delete_account, methods=["GET", "POST"]),
    Route("/@{name}/follow", follow, methods=["POST"]),
    Route("/@{name}/unfollow", unfollow, methods=["POST"]),
]
