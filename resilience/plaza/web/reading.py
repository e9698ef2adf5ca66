"""Reading: timelines, profiles, posts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from resilience.plaza import accounts, posts
from resilience.plaza.errors import not_found
from resilience.plaza.ids import parse_id
from resilience.plaza.paging import Page, read_page
from resilience.plaza.posts import Post
from resilience.plaza.rules import RULES
from resilience.plaza.state import plaza_of
from resilience.plaza.web.render import page
from resilience.plaza.web.visitor import member, visitor

SHOWN = ("posts", "replies", "pictures")


async def front(request: Request) -> Response:
    """The home timeline; for guests, what plaza is and what is said here."""
    slice_ = read_page(request.query_params)
    async with plaza_of(request).db.read() as conn:
        who = await visitor(request, conn)
        if who.account is None:
            found = await posts.public(conn, slice_, who.id)
        else:
            found = await posts.home(conn, who.account.id, slice_)
    template = "welcome.html" if who.account is None else "home.html"
    return page(request, template, _list(request, found, slice_), who=who)


async def public(request: Request) -> Response:
    """Everybody's public posts."""
    slice_ = read_page(request.query_params)
    async with plaza_of(request).db.read() as conn:
        who = await visitor(request, conn)
        found = await posts.public(conn, slice_, who.id)
    return page(request, "public.html", _list(request, found, slice_), who=who)


async def profile(request: Request) -> Response:
    """Somebody's page."""
    slice_ = read_page(request.query_params)
    show = request.query_params.get("show", "posts")
    show = show if show in SHOWN else "posts"
    async with plaza_of(request).db.read() as conn:
        who = await visitor(request, conn)
        person = await accounts.by_name(conn, request.path_params["name"])
        found = await posts.of_account(
            conn, person.id, who.id, slice_, only_media=show == "pictures", exclude_replies=show == "posts"
        )
        if person.suspended_at is not None and person.id != who.id:
            raise not_found()
        ties = await accounts.relationships(conn, who.id, [person.id]) if who.id else []
    values = _list(request, found, slice_, show=show)
    tie = ties[0] if ties else None
    return page(request, "profile.html", {**values, "person": person, "tie": tie, "show": show}, who=who)


async def one(request: Request) -> Response:
    """One post with what it answers and what answers it."""
    async with plaza_of(request).db.read() as conn:
        who = await visitor(request, conn)
        post = await posts.by_id(conn, parse_id(request.path_params["id"]), who.id)
        before, after = await posts.context(conn, post, who.id)
    values = {"post": post, "before": before, "after": after}
    return page(request, "post.html", values, who=who)


async def follows(request: Request) -> Response:
    """Whom I follow, and who follows me."""
    async with plaza_of(request).db.read() as conn:
        who, me = await member(request, conn)
        following = await accounts.following(conn, me.id)
        followers = await accounts.followers(conn, me.id)
    return page(request, "follows.html", {"following": following, "followers": followers}, who=who)


async def about(request: Request) -> Response:
    """What plaza is, and its rules."""
    async with plaza_of(request).db.read() as conn:
        who = await visitor(request, conn)
    return page(request, "about.html", {"rules": RULES}, who=who)


def _list(request: Request, found: Sequence[Post], slice_: Page, **kept: str) -> Mapping[str, Any]:
    """A list of posts and where it goes on."""
    query = "".join(f"&{name}={value}" for name, value in kept.items())
    older = f"{request.url.path}?max_id={found[-1].id}{query}" if len(found) >= slice_.limit else None
    return {"posts": found, "older": older, "paged": slice_.max_id is not None}


ROUTES = [
    Route("/", front),
    Route("/public", public),
    Route("/follows", follows),
    Route("/about", about),
    Route("/@{name}", profile),
    Route("/@{name}/{id}", one),
]
