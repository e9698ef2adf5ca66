"""RSS: what anybody may read, for readers of feeds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from email.utils import format_datetime
from xml.etree import ElementTree as ET

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from resilience.plaza import accounts, posts
from resilience.plaza.errors import not_found
from resilience.plaza.paging import Page
from resilience.plaza.posts import Post
from resilience.plaza.state import plaza_of
from resilience.plaza.text import to_html

TYPE = "application/rss+xml"
TITLE = 80


async def of_person(request: Request) -> Response:
    """/@name.rss: somebody's public posts."""
    async with plaza_of(request).db.read() as conn:
        person = await accounts.by_name(conn, request.path_params["name"])
        if person.suspended_at is not None:
            raise not_found()
        found = await posts.of_account(conn, person.id, None, Page(), exclude_replies=True)
    public = [post for post in found if post.visibility == "public"]
    return _feed(request, f"{person.shown_name} (@{person.username})", f"/@{person.username}", public)


async def of_everybody(request: Request) -> Response:
    """/public.rss: everybody's public posts."""
    async with plaza_of(request).db.read() as conn:
        found = await posts.public(conn, Page(), None)
    return _feed(request, "Plaza", "/public", found)


def _feed(request: Request, title: str, path: str, found: Sequence[Post]) -> Response:
    base = plaza_of(request).settings.public_url
    root = ET.Element("rss", version="2.0")
    channel = ET.SubElement(root, "channel")
    for name, text in (("title", title), ("link", base + path), ("description", f"Posts at {base}{path}")):
        ET.SubElement(channel, name).text = _printable(text)
    for post in found:
        item = ET.SubElement(channel, "item")
        link = f"{base}/@{post.account.username}/{post.id}"
        ET.SubElement(item, "guid", isPermaLink="true").text = link
        ET.SubElement(item, "link").text = link
        ET.SubElement(item, "title").text = _printable((post.spoiler_text or post.text or "A picture")[:TITLE])
        ET.SubElement(item, "description").text = _printable(to_html(post.spoiler_text or post.text))
        ET.SubElement(item, "pubDate").text = format_datetime(post.created_at.astimezone(UTC), usegmt=True)
        for media in post.media if not post.sensitive else ():
            ET.SubElement(item, "enclosure", url=base + media.path, length=str(media.bytes), type=media.mime)
    return Response(ET.tostring(root, encoding="utf-8", xml_declaration=True), media_type=TYPE)


def _printable(text: str) -> str:
    """Without the control characters that XML has no way to write."""
    return "".join(one for one in text if one >= " " or one in "\n\t")


ROUTES = [
    Route("/public.rss", of_everybody),
    Route("/@{name}.rss", of_person),
]
