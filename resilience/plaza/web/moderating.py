"""Moderating: the queue, and what was decided."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from resilience.plaza import moderation, posts
from resilience.plaza.errors import NotSafeElsewhere, Refused
from resilience.plaza.ids import parse_id
from resilience.plaza.paging import read_page
from resilience.plaza.state import plaza_of
from resilience.plaza.takedowns import take_down
from resilience.plaza.web.render import page
from resilience.plaza.web.visitor import checked_form, field, moderator, see


async def queue(request: Request) -> Response:
    """Open reports, and the newest ledger entries."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        who, _ = await moderator(request, conn)
        reports = await moderation.queue(conn, read_page(request.query_params))
        entries = await moderation.recent_entries(conn)
    decided = [{**entry, "held": plaza.ledger.is_held(entry["seq"])} for entry in entries]
    return page(request, "queue.html", {"reports": reports, "decided": decided}, who=who)


async def ask(request: Request) -> Response:
    """The form to take a post down, and doing it."""
    plaza = plaza_of(request)
    post_id = parse_id(request.path_params["id"])
    async with plaza.db.read() as conn:
        who, me = await moderator(request, conn)
        found = await posts.everything(conn, [post_id])
    values = {"post": found[0] if found else None, "post_id": post_id, "problem": "", "reason": ""}
    if request.method != "POST":
        return page(request, "takedown.html", values, 200 if found else 404, who=who)
    form = await checked_form(request, who)
    reason = field(form, "reason").strip()
    try:
        await take_down(plaza, post_id, reason, me.id)
    except NotSafeElsewhere as error:
        text = f"{error}. It is hidden here already; press the button again to see whether it is safe."
        values |= {"problem": text, "post": None, "reason": reason}
        return page(request, "takedown.html", values, 503, who=who)
    except Refused as error:
        if error.status == 404:
            raise
        values |= {"problem": error.message.removeprefix("Validation failed: "), "reason": reason}
        return page(request, "takedown.html", values, error.status, who=who)
    return see("/moderation", "removed")


async def keep(request: Request) -> Response:
    """Close a report; the post stays."""
    async with plaza_of(request).db.write() as conn:
        who, me = await moderator(request, conn)
        await checked_form(request, who)
        await moderation.resolve(conn, parse_id(request.path_params["id"]), me.id, "kept")
    return see("/moderation", "kept")


ROUTES = [
    Route("/moderation", queue),
    Route("/moderation/posts/{id}/takedown", ask, methods=["GET", "POST"]),
    Route("/moderation/reports/{id}/keep", keep, methods=["POST"]),
]
