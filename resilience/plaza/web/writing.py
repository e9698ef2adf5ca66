"""Writing: posts, replies, deleting, reporting."""

from __future__ import annotations

from dataclasses import replace

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from resilience.plaza import dropped, erasure, media, moderation, posts
from resilience.plaza.accounts import Account
from resilience.plaza.errors import Refused, not_found
from resilience.plaza.ids import parse_id
from resilience.plaza.paging import Page
from resilience.plaza.pictures import Darkroom, Picture
from resilience.plaza.posts import NewPost, Post
from resilience.plaza.state import plaza_of
from resilience.plaza.web.render import page
from resilience.plaza.web.visitor import Visitor, checked_form, field, member, see


async def write(request: Request) -> Response:
    """Post; sent twice by an impatient finger, it is one post."""
    async with plaza_of(request).db.read() as conn:
        who, me = await member(request, conn)
    form = await checked_form(request, who)
    try:
        pictures = await _pictures(plaza_of(request).darkroom, form)
        post_id = await _store(request, form, me, pictures)
    except Refused as error:
        return await _again(request, who, me, form, error)
    parent = field(form, "in_reply_to_id")
    return see(f"/@{me.username}/{post_id}" if parent else "/", "posted")


async def _store(request: Request, form: FormData, me: Account, pictures: list[tuple[Picture, str]]) -> int:
    plaza = plaza_of(request)
    parent = field(form, "in_reply_to_id")
    new = NewPost(
        text=field(form, "text"),
        media_ids=tuple(range(len(pictures))),  # stand for those that are stored only once the post may be
        spoiler_text=field(form, "spoiler_text").strip(),
        visibility=field(form, "visibility") or "public",
        in_reply_to_id=parse_id(parent) if parent else None,
    )
    posts.check(new)
    async with plaza.db.write() as conn:
        added = [await media.add(conn, plaza.store, me.id, *item) for item in pictures]
        new = replace(new, media_ids=tuple(item.id for item in added))
        post_id, fresh = await posts.create(conn, me.id, new, None, field(form, "key") or None)
        if not fresh:
            await dropped.drop(conn, [item.id for item in added])
    return post_id


async def _pictures(darkroom: Darkroom, form: FormData) -> list[tuple[Picture, str]]:
    found: list[tuple[Picture, str]] = []
    for number in range(1, posts.MAX_PICTURES + 1):
        file = form.get(f"picture{number}")
        if not isinstance(file, UploadFile) or not file.filename:
            continue
        picture = await darkroom.develop(file)
        found.append((picture, field(form, f"description{number}").strip()))
    return found


async def _again(request: Request, who: Visitor, me: Account, form: FormData, error: Refused) -> Response:
    """The page it was written on, with the text still there and what is wrong."""
    problem = error.message.removeprefix("Validation failed: ")
    parent = field(form, "in_reply_to_id")
    draft = {"text": field(form, "text"), "spoiler_text": field(form, "spoiler_text")}
    values: dict[str, object] = {"problem": problem, "draft": draft}
    async with plaza_of(request).db.read() as conn:
        if parent:
            post = await posts.by_id(conn, parse_id(parent), me.id)
            before, after = await posts.context(conn, post, me.id)
            values |= {"post": post, "before": before, "after": after}
            return page(request, "post.html", values, error.status, who=who)
        found = await posts.home(conn, me.id, Page())
    values |= {"posts": found, "older": None, "paged": False}
    return page(request, "home.html", values, error.status, who=who)


async def delete(request: Request) -> Response:
    """Ask before deleting one's post, then delete it for good."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        who, me = await member(request, conn)
        post = await posts.by_id(conn, parse_id(request.path_params["id"]), me.id)
    if post.account.id != me.id:
        raise not_found()
    if request.method != "POST":
        return page(request, "delete.html", {"post": post}, who=who)
    await checked_form(request, who)
    await plaza.record(erasure.erase_status(post.id, me.id))
    return see(f"/@{me.username}", "deleted")


async def report(request: Request) -> Response:
    """Tell the moderators about a post."""
    plaza = plaza_of(request)
    async with plaza.db.read() as conn:
        who, me = await member(request, conn)
        post: Post = await posts.by_id(conn, parse_id(request.path_params["id"]), me.id)
    if request.method != "POST":
        return page(request, "report.html", {"post": post, "problem": ""}, who=who)
    form = await checked_form(request, who)
    category, comment = field(form, "category") or "other", field(form, "comment").strip()
    try:
        async with plaza.db.write() as conn:
            await moderation.report(conn, me.id, post.account.id, [post.id], category, comment)
    except Refused as error:
        return page(request, "report.html", {"post": post, "problem": error.message}, error.status, who=who)
    return see(f"/@{post.account.username}/{post.id}", "reported")


ROUTES = [
    Route("/posts", write, methods=["POST"]),
    Route("/posts/{id}/delete", delete, methods=["GET", "POST"]),
    Route("/posts/{id}/report", report, methods=["GET", "POST"]),
]
