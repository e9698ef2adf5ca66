"""Security: the second step of logging in, recovery, password, second factor, sessions, one's data."""

from __future__ import annotations

import asyncio
import io
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import segno
from starlette.background import BackgroundTask
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from resilience.plaza import access, accounts, archive, secondfactor
from resilience.plaza.accounts import Account
from resilience.plaza.errors import Refused, not_found
from resilience.plaza.login import authenticate
from resilience.plaza.state import plaza_of
from resilience.plaza.web.render import page
from resilience.plaza.web.visitor import (
    HALF,
    SESSION,
    Visitor,
    anybody,
    checked_form,
    field,
    local_path,
    member,
    remember,
    see,
    visitor,
)

WRONG_CODE = "This code is not right, or was used already."
WRONG_PASSWORD = "That is not your password."  # noqa: S105 (a sentence)


async def code(request: Request) -> Response:
    """The second step of logging in: a code from the app, or a recovery code."""
    plaza = plaza_of(request)
    half = request.cookies.get(HALF, "")
    async with plaza.db.read() as conn:
        who = await visitor(request, conn)
        account_id = await access.half_login(conn, half)
    if account_id is None:
        return see("/login")
    goal = local_path(request.query_params.get("next", "/"))
    if request.method != "POST":
        return page(request, "second.html", {"problem": "", "next": goal}, who=who)
    form = await checked_form(request, who)
    goal = local_path(field(form, "next"))
    try:
        with plaza.limits.code(account_id) as attempt:
            async with plaza.db.write() as conn:
                attempt.right = await plaza.second.check(conn, account_id, field(form, "code"))
                session = await access.finish_half_login(conn, half, account_id) if attempt.right else None
        problem, status = WRONG_CODE, 422
    except Refused as error:
        session, problem, status = None, error.message, error.status
    if session is None:
        return page(request, "second.html", {"problem": problem, "next": goal}, status, who=who)
    answer = remember(request, see(goal), session)
    answer.delete_cookie(HALF, path="/login")
    return answer


async def recover(request: Request) -> Response:
    """A new password for somebody who has a recovery code; the second factor, if any, is still asked for."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        who = await visitor(request, conn)
    if request.method != "POST":
        return page(request, "recover.html", {"name": "", "problem": ""}, who=who)
    form = await checked_form(request, who)
    name, password = field(form, "username").strip().lstrip("@"), field(form, "password")
    address = request.client.host if request.client else ""
    try:
        accounts.check_password(password)
        with plaza.limits.login(name, address) as attempt:
            hashed = await plaza.passwords.hash(password)
            async with plaza.db.write(safe=True) as conn:
                found = await accounts.credentials(conn, name)
                right = found is not None and await secondfactor.use_recovery_code(conn, found[0], field(form, "code"))
                if found is not None and right:
                    await accounts.set_password(conn, found[0], hashed)
                    await access.end_everything(conn, found[0])
            attempt.right = right
    except Refused as error:
        values = {"name": name, "problem": error.message.removeprefix("Validation failed: ")}
        return page(request, "recover.html", values, error.status, who=who)
    if not right:
        values = {"name": name, "problem": "That name and code don't belong together."}
        return page(request, "recover.html", values, 422, who=who)
    return see("/login", "recovered")


async def security(request: Request) -> Response:
    """Password, second factor, recovery codes and sessions."""
    async with plaza_of(request).db.read() as conn:
        who, me = await member(request, conn)
    return await _security(request, who, me, {})


async def change_password(request: Request) -> Response:
    """Another password; every other session and every app is logged out."""
    plaza = plaza_of(request)
    who, me, form = await _mine(request)
    new = field(form, "new")
    try:
        accounts.check_password(new)
        await _same_person(request, me, form)
    except Refused as error:
        problem = error.message.removeprefix("Validation failed: ")
        return await _security(request, who, me, {"problem": problem}, error.status)
    hashed = await plaza.passwords.hash(new)
    async with plaza.db.write(safe=True) as conn:
        await accounts.set_password(conn, me.id, hashed)
        await access.end_everything(conn, me.id)
        session = await access.start_session(conn, me.id)
    return remember(request, see("/settings/security", "password"), session)


async def begin_second(request: Request) -> Response:
    """Show the picture for the authenticator app."""
    who, me, form = await _mine(request)
    plaza = plaza_of(request)
    try:
        await _same_person(request, me, form)
    except Refused as error:
        return await _security(request, who, me, {"problem": error.message}, error.status)
    async with plaza.db.write() as conn:
        secret = await plaza.second.begin(conn, me.id)
    if not secret:
        return see("/settings/security")
    return _enrol(request, who, me, secret, "")


async def confirm_second(request: Request) -> Response:
    """Switch the second factor on, and show the recovery codes once."""
    who, me, form = await _mine(request)
    plaza = plaza_of(request)
    with plaza.limits.code(me.id) as attempt:
        async with plaza.db.write(safe=True) as conn:
            secret = await plaza.second.waiting(conn, me.id)
            attempt.right = secret is not None and await plaza.second.confirm(conn, me.id, field(form, "code"))
            codes = await secondfactor.new_recovery_codes(conn, me.id) if attempt.right else []
    if secret is None:
        return see("/settings/security")
    if not attempt.right:
        return _enrol(request, who, me, secret, WRONG_CODE, 422)
    return page(request, "codes.html", {"codes": codes}, who=who)


async def new_codes(request: Request) -> Response:
    """Fresh recovery codes, for whoever knows the password."""
    who, me, form = await _mine(request)
    try:
        await _same_person(request, me, form)
    except Refused as error:
        return await _security(request, who, me, {"problem": error.message}, error.status)
    async with plaza_of(request).db.write(safe=True) as conn:
        codes = await secondfactor.new_recovery_codes(conn, me.id)
    return page(request, "codes.html", {"codes": codes}, who=who)


async def end_second(request: Request) -> Response:
    """Switch the second factor off."""
    who, me, form = await _mine(request)
    try:
        await _same_person(request, me, form)
    except Refused as error:
        return await _security(request, who, me, {"problem": error.message}, error.status)
    async with plaza_of(request).db.write(safe=True) as conn:
        await secondfactor.switch_off(conn, me.id)
    return see("/settings/security", "saved")


async def end_sessions(request: Request) -> Response:
    """Log out everywhere else, apps too."""
    _, me, _ = await _mine(request)
    async with plaza_of(request).db.write() as conn:
        await access.end_everything(conn, me.id)
        session = await access.start_session(conn, me.id)
    return remember(request, see("/settings/security", "alone"), session)


async def export(request: Request) -> Response:
    """Everything of mine in one file; made now, kept nowhere."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        who, me = await anybody(request, conn)
    await checked_form(request, who)
    plaza.limits.exports.check(str(me.id))
    plaza.limits.exports.count(str(me.id))
    async with plaza.db.read() as conn:
        mine = await archive.gather(conn, me)
    target = tempfile.NamedTemporaryFile(suffix=".zip")  # noqa: SIM115 (closed, and so gone, when it was sent)
    domain = plaza.settings.domain
    await asyncio.to_thread(archive.write, Path(target.name), mine, plaza.store, plaza.settings.public_url, domain)
    name = f"archive-{datetime.now(UTC):%Y%m%d%H%M%S}-{me.username}.zip"
    return FileResponse(
        target.name, media_type="application/zip", filename=name, background=BackgroundTask(target.close)
    )


async def _mine(request: Request) -> tuple[Visitor, Account, FormData]:
    async with plaza_of(request).db.read() as conn:
        who, me = await member(request, conn)
    if request.method != "POST":
        raise not_found()
    return who, me, await checked_form(request, who)


async def _same_person(request: Request, me: Account, form: FormData) -> None:
    """Ask for the password again where a stolen session could do harm."""
    if await authenticate(request, me.username, field(form, "password")) != me.id:
        raise Refused(422, WRONG_PASSWORD)


async def _security(
    request: Request, who: Visitor, me: Account, values: dict[str, object], status: int = 200
) -> Response:
    async with plaza_of(request).db.read() as conn:
        known = {
            "on": await secondfactor.is_on(conn, me.id),
            "left": await secondfactor.recovery_codes_left(conn, me.id),
            "sessions": await access.sessions_of(conn, me.id, request.cookies.get(SESSION, "")),
            "apps": await access.apps_of(conn, me.id),
        }
    return page(request, "security.html", {"problem": "", **known, **values}, status, who=who)


def _enrol(request: Request, who: Visitor, me: Account, secret: str, problem: str, status: int = 200) -> Response:
    uri = secondfactor.address(secret, me.username)
    drawn = io.BytesIO()
    segno.make(uri, error="m").save(drawn, kind="svg", xmldecl=False, omitsize=True, border=3, light="#fff")
    groups = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    values = {"picture": drawn.getvalue().decode(), "secret": groups, "uri": uri, "problem": problem}
    return page(request, "enrol.html", values, status, who=who)


ROUTES = [
    Route("/login/code", code, methods=["GET", "POST"]),
    Route("/login/recover", recover, methods=["GET", "POST"]),
    Route("/settings/security", security),
    Route("/settings/password", change_password, methods=["POST"]),
    Route("/settings/second", begin_second, methods=["POST"]),
    Route("/settings/second/confirm", confirm_second, methods=["POST"]),
    Route("/settings/second/off", end_second, methods=["POST"]),
    Route("/settings/recovery", new_codes, methods=["POST"]),
    Route("/settings/sessions/end", end_sessions, methods=["POST"]),
    Route("/settings/export", export, methods=["POST"]),
]
