"""RSS, and the moderators' and the decided-about's pages without JavaScript."""

from __future__ import annotations

import io
import re
import zipfile
from xml.etree import ElementTree as ET

import httpx

from tests.plaza.harness import PASSWORD, Site, picture
from tests.plaza.pages import browser, guest, send


def items(address: str) -> list[ET.Element]:
    """What a feed has."""
    answer = httpx.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/rss+xml")
    return ET.fromstring(answer.content).findall("channel/item")  # noqa: S314 (made by the server under test)


def test_feeds_have_public_posts_alone(plaza: Site, name: str) -> None:
    """Newest first, markup and control characters harmless, pictures enclosed; no replies, nothing private."""
    api = plaza.client(name)
    media = api.media_post(picture(31), "image/jpeg")
    first = api.status_post("]]> <script>alert(1)</script> \x08 & more", media_ids=[media])
    api.status_post("private", visibility="private")
    api.status_post("unlisted", visibility="unlisted")
    api.status_post("reply", in_reply_to_id=first)
    [item] = items(f"{plaza.base}/@{name}.rss")
    assert item.findtext("guid") == first.url
    enclosure = item.find("enclosure")
    assert enclosure is not None
    assert enclosure.get("url") == media.url
    assert "<script" not in (item.findtext("description") or "")
    assert first.url in [one.findtext("guid") for one in items(f"{plaza.base}/public.rss")]
    assert httpx.get(f"{plaza.base}/@nobody_here.rss").status_code == 404
    assert f'href="/@{name}.rss"' in httpx.get(f"{plaza.base}/@{name}").text


def test_a_banned_person_appeals_and_comes_back(plaza: Site, name: str) -> None:
    """Suspended by form: logging in leads to the decision; one appeal; another moderator overturns it; all is back."""
    author = plaza.client(name)
    post = author.status_post("not nice at all")
    plaza.client(f"{name}r").report(author.me(), status_ids=[post], comment=f"about {name}")
    for moderator in ("m", "n"):
        plaza.moderator(f"{name}{moderator}")
    judge, other = browser(plaza, f"{name}m"), browser(plaza, f"{name}n")
    queue = judge.get("/moderation").text
    [report] = [
        one for one in re.findall(r"reports/(\d+)/decide", queue) if f"about {name}" in queue.split(f"Report {one}")[1]
    ]
    decide = f"/moderation/reports/{report}/decide"
    assert send(judge, decide, {"action": "suspend", "rule": "1", "reason": ""}, "/moderation").status_code == 422
    done = send(judge, decide, {"action": "suspend", "rule": "1", "reason": "threats"}, "/moderation")
    assert done.headers["location"] == "/moderation?said=suspended"
    assert guest(plaza).get(f"/@{name}").status_code == 404
    assert guest(plaza).get(f"/@{name}/{post.id}").status_code == 404
    banned = guest(plaza)
    assert send(banned, "/login", {"username": name, "password": PASSWORD, "next": "/"}).status_code == 303
    for path in ("/settings", "/follows", "/notifications"):
        assert banned.get(path).headers["location"] == "/decisions"
    assert send(banned, "/posts", {"text": "still here"}, "/decisions").status_code == 303
    page = banned.get("/decisions").text
    assert "threats" in page
    export = send(banned, "/settings/export", {}, "/decisions")
    assert b"not nice at all" in zipfile.ZipFile(io.BytesIO(export.content)).read("outbox.json")
    assert banned.get("/settings/delete").status_code == 200
    [decision] = re.findall(r"/decisions/(\d+)/appeal", page)
    appeal = f"/decisions/{decision}/appeal"
    assert (
        send(banned, appeal, {"text": "I was quoting"}, "/decisions").headers["location"] == "/decisions?said=appealed"
    )
    waiting = other.get("/moderation/appeals").text
    [number] = [
        one
        for one in re.findall(r"/moderation/appeals/(\d+)", waiting)
        if f"@{name}<" in waiting.split(f"Appeal {one}")[1]
    ]
    answer = {"outcome": "overturned", "answer": "it was a quotation"}
    assert send(judge, f"/moderation/appeals/{number}", answer, "/moderation/appeals").status_code == 403
    assert send(other, f"/moderation/appeals/{number}", answer, "/moderation/appeals").status_code == 303
    assert banned.get("/settings").status_code == 200
    assert guest(plaza).get(f"/@{name}/{post.id}").status_code == 200
    assert "Suspended" in judge.get("/moderation/numbers").text


def test_likes_blocks_edits_and_search_without_scripts(plaza: Site, name: str) -> None:
    """Every one of them is a form, leads back to where it was done, and is refused without the form's token."""
    author, reader = plaza.client(name), plaza.client(f"{name}r")
    post = author.status_post(f"likeable {name}")
    client = browser(plaza, f"{name}r")
    back = send(client, f"/posts/{post.id}/like", {"back": "/public?limit=5"}, "/public")
    assert back.headers["location"] == f"/public?limit=5#p{post.id}"
    away = send(client, f"/posts/{post.id}/bookmark", {"back": "//evil.test"}, "/public")
    assert away.headers["location"].startswith(f"/@{name}/")
    assert post.id in [one.id for one in reader.favourites()]
    assert f"likeable {name}" in client.get("/liked").text
    assert f"likeable {name}" in client.get("/bookmarks").text
    assert f"likeable {name}" in client.get("/search", params={"q": f"likeable {name}"}).text
    for path in (f"/posts/{post.id}/unlike", f"/@{name}/block", f"/@{name}/mute"):
        assert client.post(path).status_code == 403
    assert send(client, f"/@{name}/block", {}, f"/@{name}").status_code == 303
    assert f"@{name}<" in client.get("/settings/people").text
    writer = browser(plaza, name)
    assert "likes your post" in writer.get("/notifications").text
    edited = send(writer, f"/posts/{post.id}/edit", {"text": "changed", "spoiler_text": ""})
    assert edited.headers["location"].endswith("?said=edited")
    assert f"likeable {name}" in guest(plaza).get(f"/posts/{post.id}/history").text
    assert client.get(f"/posts/{post.id}/edit").status_code == 404
