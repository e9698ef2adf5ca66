"""Mastodon's client API, as Mastodon.py uses it."""

from __future__ import annotations

import re
from datetime import datetime

import httpx
import pytest
from mastodon import MastodonAPIError, MastodonNotFoundError, MastodonUnauthorizedError

from tests.plaza.harness import PASSWORD, Site, picture, sha_of


def test_a_new_person_posts_a_picture_and_reads_it_back(plaza: Site, name: str) -> None:
    """Register, log in again, upload, post, and find it on every timeline, byte for byte."""
    registered = plaza.client(name)
    me = plaza.app(["read", "write"])
    me.log_in(name, PASSWORD, scopes=["read", "write"])
    media = me.media_post(picture(1), "image/jpeg", description="Noise")
    post = me.status_post("Hello, *plaza* <3", media_ids=[media], language="en")
    assert post.content == "<p>Hello, *plaza* &lt;3</p>"
    assert post.account.acct == name
    assert post.application.name == "tests"
    assert isinstance(post.created_at, datetime)
    assert [item.description for item in post.media_attachments] == ["Noise"]
    for timeline in (registered.timeline_home(), registered.timeline_public(), me.account_statuses(post.account.id)):
        assert timeline[0].id == post.id
    stored = httpx.get(post.media_attachments[0].url)
    assert stored.headers["content-type"] == "image/jpeg"
    assert stored.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in stored.headers["cache-control"]
    assert plaza.picture_file(sha_of(media.url)).read_bytes() == stored.content


def test_log_in_works_with_the_address_too(plaza: Site, name: str) -> None:
    """Mastodon's clients send the e-mail address as the user's name."""
    plaza.client(name)
    api = plaza.app(["read"])
    api.log_in(f"{name.upper()}@users.test", PASSWORD, scopes=["read"])
    assert api.me().username == name


def test_accounts_are_found_by_id_and_by_name(plaza: Site, name: str) -> None:
    """Lookup ignores case and our own domain; whoever doesn't exist is not found."""
    api = plaza.client(name)
    me = api.me()
    assert api.account(me.id).username == name
    assert api.account_lookup(name.upper()).id == me.id
    assert api.account_lookup(f"@{name}@127.0.0.1:{plaza.port}").id == me.id
    for wrong in ("nobody_here", f"{name}@elsewhere.test"):
        with pytest.raises(MastodonNotFoundError):
            api.account_lookup(wrong)
    with pytest.raises(MastodonNotFoundError):
        api.account(12345)


def test_follow_fills_the_home_timeline(plaza: Site, name: str) -> None:
    """Posts of somebody I follow are at home with me, and go when I stop."""
    reader, writer = plaza.client(name), plaza.client(f"{name}w")
    post = writer.status_post("for my followers")
    assert post.id not in [s.id for s in reader.timeline_home()]
    tie = reader.account_follow(post.account.id)
    assert (tie.following, tie.followed_by) == (True, False)
    assert reader.account_follow(post.account.id).following  # again is no error
    assert [s.id for s in reader.timeline_home()] == [post.id]
    [tie] = writer.account_relationships([reader.me().id])
    assert (tie.following, tie.followed_by) == (False, True)
    assert writer.me().followers_count == 1
    assert reader.me().following_count == 1
    assert [a.username for a in reader.account_following(reader.me())] == [f"{name}w"]
    assert [a.username for a in writer.account_followers(writer.me())] == [name]
    assert reader.account_followers(writer.me()) == []  # other people's lists are hidden
    assert not reader.account_unfollow(post.account.id).following
    assert reader.timeline_home() == []
    assert writer.me().followers_count == 0


def test_replies_have_a_context(plaza: Site, name: str) -> None:
    """What a post answers and what answers it, oldest first, and counted."""
    one, two = plaza.client(name), plaza.client(f"{name}b")
    first = one.status_post("question")
    second = two.status_post("answer", in_reply_to_id=first)
    third = one.status_post("thanks", in_reply_to_id=second)
    assert str(second.in_reply_to_account_id) == str(first.account.id)
    context = one.status_context(second)
    assert [s.id for s in context.ancestors] == [first.id]
    assert [s.id for s in context.descendants] == [third.id]
    assert one.status(first).replies_count == 1
    assert second.id not in [s.id for s in one.timeline_public()]
    assert second.id not in [s.id for s in two.account_statuses(second.account.id, exclude_replies=True)]


def test_pages_meet_without_gap_or_overlap(plaza: Site, name: str) -> None:
    """Following Link from page to page gives every post once, downwards and upwards."""
    api = plaza.client(name)
    posts = [api.status_post(f"number {n}").id for n in range(7)]
    me = api.me().id
    pages = [api.account_statuses(me, limit=3)]
    while following := api.fetch_next(pages[-1]):
        pages.append(following)
    seen = [status.id for page in pages for status in page]
    assert seen == posts[::-1]
    above = api.account_statuses(me, min_id=posts[1], limit=2)
    assert [s.id for s in above] == [posts[3], posts[2]]
    newer = api.fetch_previous(above)
    assert [s.id for s in newer or []] == [posts[5], posts[4]]
    since = api.account_statuses(me, since_id=posts[1], limit=2)
    assert [s.id for s in since] == [posts[6], posts[5]]
    older = api.timeline_home(max_id=posts[2], limit=40)
    assert [s.id for s in older] == [posts[1], posts[0]]


def test_who_may_see_what(plaza: Site, name: str) -> None:
    """Unlisted posts are in no public list; private ones are for followers."""
    writer, other = plaza.client(name), plaza.client(f"{name}o")
    unlisted = writer.status_post("quiet", visibility="unlisted")
    private = writer.status_post("secret", visibility="private")
    listed = [s.id for s in other.timeline_public(limit=40)]
    assert unlisted.id not in listed
    assert private.id not in listed
    assert other.status(unlisted).id == unlisted.id
    with pytest.raises(MastodonNotFoundError):
        other.status(private)
    with pytest.raises(MastodonNotFoundError):
        other.status_post("reply to what I can't see", in_reply_to_id=private)
    other.account_follow(writer.me().id)
    assert other.status(private).visibility == "private"
    assert private.id in [s.id for s in other.timeline_home()]
    assert httpx.get(f"{plaza.base}/api/v1/statuses/{private.id}").status_code == 404


def test_delete_returns_the_text_and_removes_for_good(plaza: Site, name: str) -> None:
    """Deleting gives the source for a redraft; row and picture are gone."""
    api = plaza.client(name)
    media = api.media_post(picture(5), "image/jpeg")
    post = api.status_post("oops", media_ids=[media])
    assert api.status_delete(post).text == "oops"
    with pytest.raises(MastodonNotFoundError):
        api.status(post)
    assert httpx.get(media.url).status_code == 404
    assert not plaza.picture_file(sha_of(media.url)).exists()
    assert plaza.sql("SELECT count(*) FROM statuses WHERE id = %s", int(post.id)) == [(0,)]


def test_nobody_deletes_other_peoples_posts(plaza: Site, name: str) -> None:
    """Other people's posts are not found by DELETE."""
    post = plaza.client(name).status_post("mine")
    with pytest.raises(MastodonNotFoundError):
        plaza.client(f"{name}x").status_delete(post)


def test_pictures_can_be_described_later(plaza: Site, name: str) -> None:
    """A waiting picture is looked up and described by its owner only."""
    api = plaza.client(name)
    media = api.media_post(picture(2), "image/jpeg")
    assert api.media(media).description is None
    assert api.media_update(media, description="Now with words").description == "Now with words"
    with pytest.raises(MastodonNotFoundError):
        plaza.client(f"{name}x").media(media)
    with pytest.raises(MastodonAPIError, match="422"):
        plaza.client(f"{name}y").status_post("not my picture", media_ids=[media])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"status": ""}, "Text can't be blank"),
        ({"status": "x" * 501}, "up to 500"),
        ({"status": "x", "visibility": "direct"}, "Visibility must be one of"),
        ({"status": "x", "media_ids[]": ["1", "2", "3", "4", "5"]}, "up to 4 pictures"),
        ({"status": "x", "media_ids[]": ["99"]}, "doesn't exist"),
        ({"status": "x", "poll[options][]": ["a"], "poll": "1"}, "no poll"),
    ],
)
def test_posts_that_cannot_be(plaza: Site, name: str, values: dict[str, str], sentence: str) -> None:
    """What can't be posted is refused with 422 and the reason."""
    with plaza.http(plaza.client(name)) as http:
        answer = http.post("/api/v1/statuses", data=values)
    assert answer.status_code == 422
    assert sentence in answer.json()["error"]


def test_json_bodies_work_like_forms(plaza: Site, name: str) -> None:
    """Many clients send JSON."""
    with plaza.http(plaza.client(name)) as http:
        made = http.post("/api/v1/statuses", json={"status": "by JSON", "sensitive": True, "media_ids": []})
        assert made.json()["sensitive"] is True
        assert http.post("/api/v1/statuses", content=b"{", headers={"content-type": "application/json"}).json() == {
            "error": "The body is not JSON"
        }


def test_registration_says_what_is_wrong(plaza: Site, name: str) -> None:
    """Mastodon's detailed errors: field, code, sentence."""
    plaza.client(name)
    api = plaza.app(["read", "write"])

    def refused(name: str, password: str, email: str, *, agreement: bool = True) -> dict[str, list[dict[str, str]]]:
        _, errors = api.create_account(
            name, password, email, agreement=agreement, return_detailed_error=True, scopes=["read", "write"]
        )
        details: dict[str, list[dict[str, str]]] = errors.details
        return details

    details = refused(name, "short", "nonsense", agreement=False)
    codes = {field: errors[0]["error"] for field, errors in details.items() if errors}
    assert codes == {"password": "ERR_TOO_SHORT", "email": "ERR_INVALID", "agreement": "ERR_ACCEPTED"}
    assert refused(name.upper(), PASSWORD, "a@b.c")["username"][0]["error"] == "ERR_TAKEN"
    assert refused("admin", PASSWORD, "a@b.c")["username"][0]["error"] == "ERR_RESERVED"
    assert refused("white space", PASSWORD, "a@b.c")["username"][0]["error"] == "ERR_INVALID"


def test_wrong_tokens_are_refused(plaza: Site) -> None:
    """No token or a wrong one is 401 where one is needed, and a wrong one is 401 everywhere."""
    api = plaza.app(["read"])
    with pytest.raises(MastodonUnauthorizedError):
        api.me()
    api.access_token = "made-up"
    with pytest.raises(MastodonUnauthorizedError):
        api.timeline_public()


def test_instance_tells_what_it_can(plaza: Site) -> None:
    """Both instance documents, with the limits that are enforced."""
    api = plaza.app(["read"])
    one, two = api.instance_v1(), api.instance_v2()
    assert one.uri == two.domain == f"127.0.0.1:{plaza.port}"
    assert re.match(r"4\.2\.0 \(compatible; Plaza", one.version)
    for configuration in (one.configuration, two.configuration):
        assert configuration.statuses.max_characters == 500
        assert configuration.statuses.max_media_attachments == 4
        assert "image/png" in configuration.media_attachments.supported_mime_types
    assert two.registrations.enabled is True
    assert [rule.id for rule in api.instance_rules()] == ["1", "2", "3"]


@pytest.mark.parametrize(
    "path", ["custom_emojis", "notifications", "filters", "lists", "favourites", "bookmarks", "announcements"]
)
def test_what_plaza_does_not_have_is_an_empty_list(plaza: Site, path: str) -> None:
    """Clients that ask for features plaza lacks get an honest nothing."""
    with plaza.http(plaza.client(f"list_{path}")) as http:
        answer = http.get(f"/api/v1/{path}")
    assert answer.status_code == 200
    assert answer.json() == []


def test_unknown_routes_and_methods_answer_in_json(plaza: Site) -> None:
    """404 and 405 carry Mastodon's error shape."""
    missing = httpx.get(plaza.base + "/api/v1/nothing")
    assert (missing.status_code, missing.json()) == (404, {"error": "Record not found"})
    wrong = httpx.delete(plaza.base + "/api/v1/instance")
    assert wrong.status_code == 405
    assert "error" in wrong.json()


def test_other_origins_may_use_the_api_but_not_the_pages(plaza: Site) -> None:
    """Apps in other people's browsers get CORS for the API alone, never with cookies."""
    origin = {"Origin": "https://client.example"}
    api = httpx.get(plaza.base + "/api/v2/instance", headers=origin)
    assert api.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in api.headers
    assert "access-control-allow-origin" not in httpx.get(plaza.base + "/", headers=origin).headers
