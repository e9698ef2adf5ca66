"""Second factors, recovery, passwords, sessions, and one's data in a file."""

from __future__ import annotations

import csv
import io
import json
import re
import time
import zipfile

import httpx
import pyotp
import pytest
from mastodon import MastodonAPIError, MastodonIllegalArgumentError
from PIL import Image

from tests.plaza.harness import PASSWORD, Site, picture, sha_of, wait_until
from tests.plaza.pages import answers_until_refused, browser, form_token, guest, send

NEW = "another battery staple"


def switch_on(client: httpx.Client) -> tuple[pyotp.TOTP, list[str], str]:
    """Set the second factor up: the app, the recovery codes, and the code that was used."""
    page = send(client, "/settings/second", {"password": PASSWORD}, "/settings/security").text
    found = re.search(r"secret=([A-Z2-7]+)", page)
    assert found is not None
    app = pyotp.TOTP(found[1])
    code = app.now()
    token = re.search(r'name="token" value="([^"]+)"', page)
    assert token is not None
    shown = client.post("/settings/second/confirm", data={"token": token[1], "code": code}).text
    codes = re.findall(r"<code>([0-9a-f-]{19})</code>", shown)
    assert len(codes) == 10
    return app, codes, code


def half_way(plaza: Site, name: str, password: str = PASSWORD) -> httpx.Client:
    """A browser where the password was right and the code is still asked for."""
    client = guest(plaza)
    answer = send(client, "/login", {"username": name, "password": password, "next": "/about"})
    assert answer.headers["location"] == "/login/code?next=%2Fabout"
    return client


def test_logging_in_takes_both(plaza: Site, name: str) -> None:
    """Half a log-in opens nothing; a code works once; then a recovery code, once."""
    plaza.client(name)
    app, codes, used = switch_on(browser(plaza, name))
    client = half_way(plaza, name)
    assert client.get("/settings").status_code == 303
    for wrong in (used, "000000", "", "x" * 40, codes[0][:-1]):
        assert send(client, "/login/code", {"code": wrong}).status_code == 422
    later = app.at(int(time.time()) + 30)
    assert send(client, "/login/code", {"code": later, "next": "/about"}).headers["location"] == "/about"
    assert client.get("/settings").status_code == 200
    again = half_way(plaza, name)
    assert send(again, "/login/code", {"code": later}).status_code == 422
    assert send(again, "/login/code", {"code": codes[0].upper()}).status_code == 303
    last = half_way(plaza, name)
    assert send(last, "/login/code", {"code": codes[0]}).status_code == 422


def test_codes_can_not_be_guessed(plaza: Site, name: str) -> None:
    """Brute force of the second step: 429 after ten, whichever browser asks."""
    plaza.client(name)
    switch_on(browser(plaza, name))
    client = half_way(plaza, name)
    codes = [send(client, "/login/code", {"code": f"{n:06}"}).status_code for n in range(11)]
    assert codes == [422] * 10 + [429]
    assert send(half_way(plaza, name), "/login/code", {"code": "1"}).status_code == 429


def test_many_codes_at_once_are_no_more_than_many_in_a_row(plaza: Site, name: str) -> None:
    """A burst, before anybody was told that it was wrong: ten are judged, however they come."""
    plaza.client(name)
    switch_on(browser(plaza, name))
    client = half_way(plaza, name)
    token = form_token(client, "/login/code")

    def guess(number: int) -> int:
        return client.post("/login/code", data={"code": f"guess {number}", "token": token}).status_code

    assert answers_until_refused(guess)[422] == 10


def test_apps_can_not_go_around_it(plaza: Site, name: str) -> None:
    """With a second factor the password alone gives no token; the one from before stays good."""
    api = plaza.client(name)
    switch_on(browser(plaza, name))
    with pytest.raises(MastodonIllegalArgumentError):
        plaza.app(["read"]).log_in(name, PASSWORD, scopes=["read"])
    assert api.me().username == name


def test_secrets_are_not_readable_in_the_database(plaza: Site, name: str) -> None:
    """Neither the app's secret nor a recovery code is in the tables."""
    plaza.client(name)
    app, codes, _ = switch_on(browser(plaza, name))
    [(secret,)] = plaza.sql(
        "SELECT secret FROM second_factors f JOIN accounts a ON a.id = f.account_id WHERE username = %s", name
    )
    assert app.secret.encode() not in bytes(secret)
    assert plaza.sql("SELECT count(*) FROM recovery_codes WHERE encode(code_hash, 'escape') = %s", codes[0]) == [(0,)]


def test_it_can_be_switched_off_with_the_password(plaza: Site, name: str) -> None:
    """A session alone doesn't switch it off."""
    plaza.client(name)
    client = browser(plaza, name)
    switch_on(client)
    assert send(client, "/settings/second/off", {"password": "wrong"}, "/settings/security").status_code == 422
    assert send(client, "/settings/second/off", {"password": PASSWORD}, "/settings/security").status_code == 303
    browser(plaza, name)


def test_a_new_password_logs_everybody_else_out(plaza: Site, name: str) -> None:
    """The old password, other browsers and apps are worthless; this browser stays."""
    api = plaza.client(name)
    here, there = browser(plaza, name), browser(plaza, name)
    form = {"password": "wrong", "new": NEW}
    assert send(here, "/settings/password", form, "/settings/security").status_code == 422
    assert (
        send(here, "/settings/password", {"password": PASSWORD, "new": "short"}, "/settings/security").status_code
        == 422
    )
    assert send(here, "/settings/password", {"password": PASSWORD, "new": NEW}, "/settings/security").status_code == 303
    assert here.get("/settings").status_code == 200
    assert there.get("/settings").status_code == 303
    with pytest.raises(MastodonAPIError):
        api.me()
    assert send(guest(plaza), "/login", {"username": name, "password": PASSWORD}).status_code == 422


def test_a_recovery_code_replaces_a_forgotten_password(plaza: Site, name: str) -> None:
    """Once, with the right name; and whoever has a second factor is still asked for it."""
    plaza.client(name)
    _, codes, _ = switch_on(browser(plaza, name))
    form = {"username": name, "code": codes[1], "password": NEW}
    other = guest(plaza)
    assert send(other, "/login/recover", {**form, "username": "nobody_here"}).status_code == 422
    assert send(other, "/login/recover", {**form, "code": "0000-0000-0000-0000"}).status_code == 422
    assert send(other, "/login/recover", form).headers["location"].startswith("/login")
    assert send(other, "/login/recover", form).status_code == 422
    half_way(plaza, name, NEW)


def test_recovery_does_not_tell_who_exists(plaza: Site, name: str) -> None:
    """Enumeration: the same words for a wrong name and a wrong code."""
    plaza.client(name)

    def said(username: str) -> str:
        client = guest(plaza)
        token = form_token(client, "/login/recover")
        form = {"username": username, "code": "x", "password": NEW, "token": token}
        return client.post("/login/recover", data=form).text.replace(username, "?").replace(token, "?")

    assert said(name) == said(f"{name}zz")


def test_sessions_survive_a_move(plaza: Site, name: str) -> None:
    """A session and a token are in the database: another server with the same data and key knows both."""
    api = plaza.client(name)
    client = browser(plaza, name)
    app, _, _ = switch_on(client)
    plaza.stop()
    plaza.launch()
    wait_until(plaza.ready, plaza.log)
    assert client.get("/settings").status_code == 200
    assert api.me().username == name
    later = app.at(int(time.time()) + 30)
    assert send(half_way(plaza, name), "/login/code", {"code": later}).status_code == 303


def test_the_export_is_a_mastodon_archive(plaza: Site, name: str) -> None:
    """Posts with their pictures, likes, bookmarks and lists; whatever the visibility; nobody else's."""
    me, other = plaza.client(name), plaza.client(f"{name}o")
    media = me.media_post(picture(21), "image/jpeg", description="Noise")
    post = me.status_post(f"hello @{name}o", media_ids=[media], language="en")
    me.status_post("secret", visibility="private")
    theirs = other.status_post("theirs")
    me.status_favourite(theirs)
    me.status_bookmark(theirs)
    me.account_follow(other.me())
    me.account_mute(other.me())
    client = browser(plaza, name)
    me.account_update_credentials(avatar=picture(7), avatar_mime_type="image/jpeg", fields=[("Site", "here")])
    answer = send(client, "/settings/export", {}, "/settings")
    assert answer.headers["content-type"] == "application/zip"
    assert re.search(r'filename="archive-\d{14}-', answer.headers["content-disposition"])
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        outbox = json.loads(archive.read("outbox.json"))
        actor = json.loads(archive.read("actor.json"))
        likes, bookmarks = (json.loads(archive.read(f"{n}.json"))["orderedItems"] for n in ("likes", "bookmarks"))
        follows = list(csv.DictReader(io.StringIO(archive.read("following_accounts.csv").decode())))
        mutes = list(csv.DictReader(io.StringIO(archive.read("muted_accounts.csv").decode())))
        notes = [item["object"] for item in outbox["orderedItems"]]
        stored = archive.read(notes[0]["attachment"][0]["url"])
        assert {"avatar.jpg", "header.png", "plaza.json"} <= set(archive.namelist())
        assert Image.open(io.BytesIO(archive.read(actor["icon"]["url"]))).size == (400, 400)
        assert actor["attachment"] == [{"type": "PropertyValue", "name": "Site", "value": "here"}]
        whole = b"".join(archive.read(each) for each in archive.namelist())
    assert (outbox["type"], outbox["totalItems"], actor["preferredUsername"]) == ("OrderedCollection", 2, name)
    assert [note["content"] for note in notes][1] == "<p>secret</p>"
    assert notes[0]["id"] == post.url
    assert notes[0]["attachment"][0]["name"] == "Noise"
    assert notes[0]["to"] == ["https://www.w3.org/ns/activitystreams#Public"]
    assert notes[1]["to"] == [f"{plaza.base}/@{name}/followers"]
    assert stored == plaza.picture_file(sha_of(media.url)).read_bytes()
    assert likes == bookmarks == [theirs.url]
    assert [row["Account address"] for row in follows] == [f"{name}o@127.0.0.1:{plaza.port}"]
    assert mutes[0]["Hide notifications"] == "true"
    for secret in (b"argon2", b"token_hash", b"password_hash"):
        assert secret not in whole
    assert b"<p>theirs</p>" not in whole


def test_nobody_else_gets_it(plaza: Site, name: str) -> None:
    """Not a guest, not without the form's token."""
    plaza.client(name)
    assert guest(plaza).post("/settings/export").status_code == 303
    assert browser(plaza, name).post("/settings/export").status_code == 403
