"""Pages for people, without JavaScript: every journey is links and forms."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.plaza.harness import PASSWORD, Site, picture
from tests.plaza.pages import browser, fields_of, form_token, guest, send


def test_the_journey_of_a_new_person(plaza: Site, name: str) -> None:
    """Sign up, post with a picture, reply, see it at home, log out; the session really ends."""
    client = guest(plaza)
    form = {"username": name, "password": PASSWORD, "agreement": "1"}
    answer = send(client, "/register", form)
    assert answer.headers["location"] == "/?said=welcome"
    assert "Welcome to Plaza" in client.get("/?said=welcome").text
    hidden = fields_of(client.get("/").text)
    post = {**hidden, "text": "My first\r\n\r\npost", "description1": "A red square", "visibility": "public"}
    files = {"picture1": ("a.jpg", picture(1), "image/jpeg")}
    assert client.post("/posts", data=post, files=files).headers["location"] == "/?said=posted"
    assert client.post("/posts", data=post, files=files).status_code == 303  # an impatient finger
    home = client.get("/").text
    assert home.count("My first") == 1
    assert "<p>My first</p><p>post</p>" in home
    assert 'alt="A red square"' in home
    found = re.search(rf"/@{name}/(\d+)#reply", home)
    assert found is not None
    thread = f"/@{name}/{found.group(1)}"
    reply = {**fields_of(client.get(thread).text), "text": "and a reply", "visibility": "public"}
    assert client.post("/posts", data=reply).headers["location"].startswith(f"/@{name}/")
    assert "and a reply" in client.get(thread).text
    session = client.cookies["plaza_session"]
    token = form_token(client, "/settings")
    assert client.post("/logout", data={"token": token}).headers["location"] == "/?said=bye"
    stolen = httpx.get(plaza.base + "/settings", cookies={"plaza_session": session}, follow_redirects=False)
    assert stolen.headers["location"].startswith("/login")


def test_follow_and_unfollow(plaza: Site, name: str) -> None:
    """A button on somebody's page; their posts come home."""
    plaza.client(f"{name}w").status_post("words by somebody else")
    plaza.client(name)
    client = browser(plaza, name)
    assert send(client, f"/@{name}w/follow", {}, page=f"/@{name}w").headers["location"] == f"/@{name}w"
    assert "words by somebody else" in client.get("/").text
    assert f"@{name}w" in client.get("/follows").text
    send(client, f"/@{name}w/unfollow", {}, page=f"/@{name}w")
    assert "words by somebody else" not in client.get("/").text


def test_settings_change_what_others_see(plaza: Site, name: str) -> None:
    """Display name and text, with their limits."""
    plaza.client(name)
    client = browser(plaza, name)
    assert send(client, "/settings", {"display_name": "Dr. No", "note": "Hm."}).status_code == 303
    page = guest(plaza).get(f"/@{name}").text
    assert "Dr. No" in page
    assert "Hm." in page
    refused = send(client, "/settings", {"display_name": "x" * 61, "note": ""})
    assert refused.status_code == 422
    assert "up to 60 characters" in refused.text


def test_deleting_asks_first(plaza: Site, name: str) -> None:
    """GET shows the question, POST deletes; other people's posts can't be asked about."""
    post = plaza.client(name).status_post("to be deleted")
    client = browser(plaza, name)
    assert "Delete this post?" in client.get(f"/posts/{post.id}/delete").text
    assert send(client, f"/posts/{post.id}/delete", {}).headers["location"] == f"/@{name}?said=deleted"
    assert client.get(f"/@{name}/{post.id}").status_code == 404
    other = plaza.client(f"{name}x").status_post("not yours")
    assert client.get(f"/posts/{other.id}/delete").status_code == 404


def test_leaving_asks_for_the_password_and_takes_everything(plaza: Site, name: str) -> None:
    """A wrong password keeps the account; the right one removes it with posts, pictures and session."""
    api = plaza.client(name)
    media = api.media_post(picture(77), "image/jpeg")
    api.status_post("last words", media_ids=[media])
    client = browser(plaza, name)
    assert "not your password" in send(client, "/settings/delete", {"password": "wrong one"}).text
    assert send(client, "/settings/delete", {"password": PASSWORD}).headers["location"] == "/?said=gone"
    assert guest(plaza).get(f"/@{name}").status_code == 404
    assert httpx.get(media.url).status_code == 404
    assert client.get("/settings").headers["location"].startswith("/login")


def test_a_moderator_works_with_pages_alone(plaza: Site, name: str) -> None:
    """Report by form, queue, keep one, take one down; strangers see no queue."""
    author = plaza.client(f"{name}a")
    posts = [author.status_post(text) for text in ("harmless thing", "harmful thing")]
    plaza.client(f"{name}r")
    reporter = browser(plaza, f"{name}r")
    for post in posts:
        report = {"category": "violation", "comment": f"about {post.id}"}
        assert send(reporter, f"/posts/{post.id}/report", report).status_code == 303
    assert reporter.get("/moderation").status_code == 404
    plaza.moderator(name)
    client = browser(plaza, name)
    queue = client.get("/moderation").text
    assert "harmless thing" in queue
    assert f"about {posts[1].id}" in queue
    sections = re.findall(r"reports/(\d+)/decide", queue)
    [report_id] = [one for one in sections if f"about {posts[0].id}" in queue.split(f"Report {one}")[1]]
    keep = send(client, f"/moderation/reports/{report_id}/decide", {"action": "keep"}, page="/moderation")
    assert keep.headers["location"] == "/moderation?said=kept"
    down = f"/moderation/posts/{posts[1].id}/takedown"
    assert send(client, down, {"reason": ""}).status_code == 422
    assert send(client, down, {"reason": "harm"}).headers["location"] == "/moderation?said=removed"
    after = client.get("/moderation").text
    assert "harmful thing" not in after
    assert "Held" in after
    assert guest(plaza).get(f"/@{author.me().username}/{posts[1].id}").status_code == 404
    assert guest(plaza).get(f"/@{author.me().username}/{posts[0].id}").status_code == 200


def test_a_refused_post_keeps_its_text(plaza: Site, name: str) -> None:
    """Nobody types twice: the text is still in the box, with what is wrong above it."""
    plaza.client(name)
    client = browser(plaza, name)
    form = {**fields_of(client.get("/").text), "text": "my long thoughts " + "x" * 500}
    answer = client.post("/posts", data=form)
    assert answer.status_code == 422
    assert "my long thoughts" in answer.text
    assert "up to 500 characters" in answer.text
    files = {"picture1": ("a.jpg", b"no picture", "image/jpeg")}
    answer = client.post("/posts", data={**form, "text": "short"}, files=files)
    assert answer.status_code == 422
    assert "not a picture" in answer.text


def test_sign_up_says_what_is_wrong(plaza: Site, name: str) -> None:
    """Each problem stands at its field, and the name stays filled in."""
    plaza.client(name)
    client = guest(plaza)
    taken = send(client, "/register", {"username": name, "password": PASSWORD, "agreement": "1"})
    assert taken.status_code == 422
    assert "already been taken" in taken.text
    short = send(client, "/register", {"username": "fresh_name", "password": "short"})
    assert "at least 8 characters" in short.text
    assert "have to be accepted" in short.text
    assert 'value="fresh_name"' in short.text


def test_error_pages_are_for_people(plaza: Site) -> None:
    """404 and 405 are pages with a way back; nothing technical shows."""
    for answer in (guest(plaza).get("/nothing/here"), guest(plaza).get("/@nobody_here"), guest(plaza).get("/@x/abc")):
        assert answer.status_code == 404
        assert "text/html" in answer.headers["content-type"]
        assert "Go to the front page" in answer.text
    assert guest(plaza).get("/posts").status_code == 405


@pytest.mark.parametrize("path", ["/", "/public", "/login", "/register", "/about", "/@nobody_here"])
def test_every_page_has_a_heading_a_language_and_labels(plaza: Site, path: str) -> None:
    """One h1, a language, a viewport, a label for every field, and no inline script or style."""
    page = guest(plaza).get(path).text
    assert page.count("<h1") == 1
    assert '<html lang="en">' in page
    assert "width=device-width" in page
    for field in re.findall(r"<(?:input|textarea|select)\b(?![^>]*type=\"(?:hidden|checkbox|radio)\")[^>]*>", page):
        found = re.search(r'id="([^"]+)"', field)
        assert found is not None, field
        assert f'for="{found.group(1)}"' in page
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page)


def test_posts_page_by_page(plaza: Site, name: str) -> None:
    """Older posts are a link away, and there is a way back."""
    api = plaza.client(name)
    for number in range(21):
        api.status_post(f"post number {number:02d}")
    client = guest(plaza)
    first = client.get(f"/@{name}").text
    assert "post number 01" in first
    assert "post number 00" not in first
    found = re.search(r'rel="next" href="([^"]+)"', first)
    assert found is not None
    second = client.get(found.group(1).replace("&amp;", "&")).text
    assert "post number 00" in second
    assert "Back to the newest" in second
