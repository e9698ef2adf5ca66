"""Likes, bookmarks, notifications, search, blocks and mutes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from resilience.plaza import accounts, likes, notifications, search, ties, words
from resilience.plaza.db import Connection
from resilience.plaza.ids import parse_id
from resilience.plaza.paging import Page, read_page
from resilience.plaza.posts import Post
from resilience.plaza.state import plaza_of
from resilience.plaza.web.render import page
from resilience.plaza.web.visitor import checked_form, field, local_path, member, see, visitor

MARKS = {
    "like": likes.favourite,
    "unlike": likes.unfavourite,
    "bookmark": likes.bookmark,
    "unbookmark": likes.unbookmark,
}
TIES: dict[str, Callable[[Connection, int, int], Awaitable[None]]] = {
    "block": ties.block,
    "unblock": ties.unblock,
    "mute": ties.mute,
    "unmute": ties.unmute,
}
SHOWN_PEOPLE = 20
Handler = Callable[[Request], Awaitable[Response]]


def _marking(change: Callable[[Connection, int, int], Awaitable[Post]]) -> Handler:
    """Like, bookmark, or take it back; then the page it was done on."""

    async def mark(request: Request) -> Response:
        async with plaza_of(request).db.write() as conn:
            who, me = await member(request, conn)
            form = await checked_form(request, who)
            post = await change(conn, me.id, parse_id(request.path_params["id"]))
        return see(local_path(field(form, "back"), f"/@{post.account.username}/{post.id}") + f"#p{post.id}")

    return mark


def _tying(change: Callable[[Connection, int, int], Awaitable[None]]) -> Handler:
    """Block or mute somebody, or take it back."""

    async def tie(request: Request) -> Response:
        async with plaza_of(request).db.write() as conn:
            who, me = await member(request, conn)
            await checked_form(request, who)
            person = await accounts.by_name(conn, request.path_params["name"])
            await change(conn, me.id, person.id)
        return see(f"/@{person.username}", "saved")

    return tie


async def told(request: Request) -> Response:
    """What others did; many who did the same are one entry."""
    slice_ = read_page(request.query_params)
    async with plaza_of(request).db.read() as conn:
        who, me = await member(request, conn)
        found = await notifications.of(conn, me.id, slice_)
    older = f"?max_id={found[-1].id}" if len(found) >= slice_.limit else None
    groups = notifications.in_groups(found).values()
    return page(request, "notifications.html", {"groups": groups, "older": older}, who=who)


async def find(request: Request) -> Response:
    """Search for posts and people."""
    slice_ = read_page(request.query_params)
    text = request.query_params.get("q", "")
    async with plaza_of(request).db.read() as conn:
        who = await visitor(request, conn)
        people = [] if slice_.max_id else await search.find_people(conn, text, SHOWN_PEOPLE)
        found = await search.find_posts(conn, text, who.id, slice_)
        lacking = None if await words.are_complete(conn) else words.NEW
    older = None
    if len(found) >= slice_.limit:
        older = "/search?" + urlencode({"q": text, "max_id": found[-1].id})
    values = {
        "q": text,
        "people": people,
        "posts": found,
        "older": older,
        "paged": slice_.max_id is not None,
        "lacking": lacking,
    }
    return page(request, "search.html", values, who=who)


async def liked(request: Request) -> Response:
    """What I liked."""
    return await _marked(request, "What you liked", likes.favourites)


async def bookmarked(request: Request) -> Response:
    """What I bookmarked."""
    return await _marked(request, "Bookmarks", likes.bookmarks)


async def _marked(
    request: Request, title: str, load: Callable[[Connection, int, Page], Awaitable[tuple[list[Post], list[int]]]]
) -> Response:
    slice_ = read_page(request.query_params)
    async with plaza_of(request).db.read() as conn:
        who, me = await member(request, conn)
        found, marks = await load(conn, me.id, slice_)
    older = f"?max_id={marks[-1]}" if len(marks) >= slice_.limit else None
    values = {"title": title, "posts": found, "older": older, "paged": slice_.max_id is not None}
    return page(request, "marked.html", values, who=who)


async def apart(request: Request) -> Response:
    """Whom I blocked and muted."""
    slice_ = Page(limit=200)
    async with plaza_of(request).db.read() as conn:
        who, me = await member(request, conn)
        blocked, muted = await ties.blocked(conn, me.id, slice_), await ties.muted(conn, me.id, slice_)
    return page(request, "apart.html", {"blocked": blocked, "muted": muted}, who=who)


ROUTES = [
    Route("/search", find),
    Route("/notifications", told),
    Route("/liked", liked),
    Route("/bookmarks", bookmarked),
    Route("/settings/people", apart),
    *(Route(f"/posts/{{id}}/{name}", _marking(change), methods=["POST"]) for name, change in MARKS.items()),
    *(Route(f"/@{{name}}/{name}", _tying(change), methods=["POST"]) for name, change in TIES.items()),
]
