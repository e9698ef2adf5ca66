"""Editing one's posts, and what they said before."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from resilience.plaza import dropped, edits, posts
from resilience.plaza.errors import Refused, not_found
from resilience.plaza.ids import parse_id
from resilience.plaza.posts import NewPost
from resilience.plaza.state import plaza_of
from resilience.plaza.web.render import page
from resilience.plaza.web.visitor import checked_form, field, member, see, visitor


async def edit(request: Request) -> Response:
    """The form with what the post says now, and saying something else."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        who, me = await member(request, conn)
        post = await posts.by_id(conn, parse_id(request.path_params["id"]), me.id)
    if post.account.id != me.id:
        raise not_found()
    draft = {"text": post.text, "spoiler_text": post.spoiler_text}
    if request.method != "POST":
        return page(request, "edit.html", {"post": post, "draft": draft, "problem": ""}, who=who)
    form = await checked_form(request, who)
    draft = {"text": field(form, "text"), "spoiler_text": field(form, "spoiler_text").strip()}
    kept = tuple(item.id for item in post.media if f"keep{item.id}" in form)
    new = NewPost(draft["text"], kept, draft["spoiler_text"], sensitive=post.sensitive and not post.spoiler_text)
    try:
        async with plaza.db.write() as conn:
            await edits.edit(conn, me.id, post.id, new)
        await dropped.erase(plaza)
    except Refused as error:
        problem = error.message.removeprefix("Validation failed: ")
        return page(request, "edit.html", {"post": post, "draft": draft, "problem": problem}, error.status, who=who)
    return see(f"/@{me.username}/{post.id}", "edited")


async def history(request: Request) -> Response:
    """All versions of a post."""
    async with plaza_of(request).db.read() as conn:
        who = await visitor(request, conn)
        post = await posts.by_id(conn, parse_id(request.path_params["id"]), who.id)
        versions = await edits.history(conn, post)
    return page(request, "history.html", {"post": post, "versions": versions}, who=who)


ROUTES = [
    Route("/posts/{id}/edit", edit, methods=["GET", "POST"]),
    Route("/posts/{id}/history", history),
]
