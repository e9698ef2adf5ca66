"""Messages on this device: a browser subscribes for the session it has."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from resilience.plaza import subscriptions
from resilience.plaza.bearer import digest
from resilience.plaza.state import plaza_of
from resilience.plaza.subscriptions import BY_SESSION, Wanted
from resilience.plaza.web.render import page
from resilience.plaza.web.visitor import SESSION, checked_form, field, member, see

WANTED = ("mention", "follow", "favourite", "admin.report")


async def messages(request: Request) -> Response:
    """Whether this device gets messages; begin or end it."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        who, me = await member(request, conn)
    if request.method != "POST":
        return page(request, "messages.html", {"key": plaza.pusher.public}, who=who)
    form = await checked_form(request, who)
    session = digest(request.cookies[SESSION])
    async with plaza.db.write() as conn:
        if field(form, "end"):
            await subscriptions.remove(conn, BY_SESSION, session)
            return see("/settings/messages", "saved")
        wanted = Wanted(field(form, "endpoint"), field(form, "p256dh"), field(form, "auth"), WANTED)
        await subscriptions.put(conn, me.id, BY_SESSION, session, wanted)
    return see("/settings/messages", "saved")


ROUTES = [Route("/settings/messages", messages, methods=["GET", "POST"])]
