"""Likes, bookmarks, blocks, mutes, mentions, notifications, edits and search, as Mastodon.py uses them."""

from __future__ import annotations

import io
from datetime import datetime
from urllib.parse import urlsplit

import httpx
import pytest
from mastodon import Mastodon, MastodonAPIError, MastodonNotFoundError
from PIL import Image

from tests.plaza.harness import Site, picture
from tests.plaza.pages import browser, form_token


def test_likes_and_bookmarks(plaza: Site, name: str) -> None:
    """Liked once however often, counted, listed in pages by Link, told to the author; bookmarks to nobody."""
    author, reader = plaza.client(name), plaza.client(f"{name}r")
    posts = [author.status_post(f"n {n}") for n in range(5)]
    for post in posts:
        reader.status_favourite(post)
    liked = reader.status_favourite(posts[0])
    assert (liked.favourited, liked.favourites_count) == (True, 1)
    assert author.status(posts[0]).favourited is False
    pages = [reader.favourites(limit=2)]
    while following := reader.fetch_next(pages[-1]):
        pages.append(following)
    assert [post.id for page in pages for post in page] == [post.id for post in posts[::-1]]
    assert [one.username for one in author.status_favourited_by(posts[0])] == [f"{name}r"]
    assert reader.status_unfavourite(posts[0]).favourites_count == 0
    assert reader.status_bookmark(posts[1]).bookmarked
    assert [post.id for post in reader.bookmarks()] == [posts[1].id]
    assert reader.status_unbookmark(posts[1]).bookmarked is False
    told = author.notifications(types=["favourite"])
    assert (len(told), told[0].account.username) == (5, f"{name}r")
    assert author.notifications(types=["follow"]) == []


def test_notifications_come_in_pages_and_can_be_dismissed(plaza: Site, name: str) -> None:
    """Follow, mention and reply are told once; read markers count down; dismissed ones are gone."""
    me, other = plaza.client(name), plaza.client(f"{name}o")
    post = me.status_post("hello")
    other.account_follow(me.me())
    other.account_follow(me.me())
    other.status_post(f"@{name} and mail@{name} and @nobody_at_all", visibility="unlisted")
    other.status_post("answer", in_reply_to_id=post)
    found = me.notifications()
    assert [one.type for one in found] == ["mention", "mention", "follow"]
    with plaza.http(me) as http:
        assert http.get("/api/v1/notifications/unread_count").json() == {"count": 3}
    assert me.markers_set("notifications", [found[1].id])["notifications"].last_read_id == str(found[1].id)
    with plaza.http(me) as http:
        assert http.get("/api/v1/notifications/unread_count").json() == {"count": 1}
    first = me.notifications(limit=2)
    assert [one.id for one in me.fetch_next(first) or []] == [found[2].id]
    me.notifications_dismiss(found[0])
    with pytest.raises(MastodonNotFoundError):
        me.notifications(id=found[0].id)
    me.notifications_clear()
    assert me.notifications() == []


def test_mentions_are_links_and_named_in_the_entity(plaza: Site, name: str) -> None:
    """@name of somebody who is here is a link; of nobody, text."""
    me, other = plaza.client(name), plaza.client(f"{name}o")
    post = me.status_post(f"hi @{name}O, hi @nobody_here")
    assert [one.username for one in post.mentions] == [f"{name}o"]
    assert f'<a href="{plaza.base}/@{name}o" class="u-url mention">' in post.content
    assert "@nobody_here" in post.content
    assert f"/@{name}o" in httpx.get(f"{plaza.base}/@{name}/{post.id}").text
    assert other.notifications()[0].status.id == post.id


def test_blocks_part_people_both_ways(plaza: Site, name: str) -> None:
    """Blocked: follows end, neither sees the other, no follow, no notification; unblocking allows it again."""
    me, other = plaza.client(name), plaza.client(f"{name}b")
    mine, theirs = me.status_post("mine"), other.status_post("theirs")
    me.account_follow(other.me())
    other.account_follow(me.me())
    tie = me.account_block(other.me())
    assert (tie.blocking, tie.following, tie.followed_by) == (True, False, False)
    [back] = other.account_relationships([me.me().id])
    assert back.blocked_by
    with pytest.raises(MastodonNotFoundError):
        other.status(mine)
    with pytest.raises(MastodonAPIError, match="403"):
        other.account_follow(me.me())
    assert mine.id not in [post.id for post in other.timeline_public(limit=40)]
    assert theirs.id not in [post.id for post in me.timeline_public(limit=40)]
    other.status_post(f"@{name} !")
    assert me.notifications() == []
    assert [one.username for one in me.blocks()] == [f"{name}b"]
    assert not me.account_unblock(other.me()).blocking
    assert other.account_follow(me.me()).following


def test_mutes_hide_from_timelines_alone(plaza: Site, name: str) -> None:
    """Muted: in no timeline of mine, still on their page; a mute with an end ends."""
    me, other = plaza.client(name), plaza.client(f"{name}q")
    me.account_follow(other.me())
    post = other.status_post("loud")
    tie = me.account_mute(other.me(), duration=300)
    assert (tie.muting, tie.muting_notifications, tie.following) == (True, True, True)
    assert post.id not in [one.id for one in me.timeline_home()]
    assert post.id not in [one.id for one in me.timeline_public(limit=40)]
    assert [one.id for one in me.account_statuses(other.me())] == [post.id]
    other.status_post(f"@{name} !")
    assert me.notifications() == []
    assert [one.username for one in me.mutes()] == [f"{name}q"]
    plaza.sql("UPDATE mutes SET expires_at = now() - interval '1 second' WHERE account_id = %s", int(me.me().id))
    assert post.id in [one.id for one in me.timeline_home()]
    me.account_mute(other.me(), notifications=False)
    assert not me.account_unmute(other.me()).muting


def test_lists_of_people_come_in_pages(plaza: Site, name: str) -> None:
    """Following Link through one's followers gives everybody once."""
    me = plaza.client(name)
    people = [plaza.client(f"{name}f{n}") for n in range(5)]
    for one in people:
        one.account_follow(me.me())
    pages = [me.account_followers(me.me(), limit=2)]
    while following := me.fetch_next(pages[-1]):
        pages.append(following)
    assert sorted(one.username for page in pages for one in page) == [f"{name}f{n}" for n in range(5)]


def test_edits_keep_what_was_said_before(plaza: Site, name: str) -> None:
    """Edited: the new text everywhere, the old one in the history, the picture gone; deleted with the post."""
    me, other = plaza.client(name), plaza.client(f"{name}o")
    media = me.media_post(picture(11), "image/jpeg")
    post = me.status_post("frist", media_ids=[media])
    assert post.edited_at is None
    edited = me.status_update(post, "first", spoiler_text="typo")
    assert (edited.content, edited.media_attachments) == ("<p>first</p>", [])
    assert isinstance(edited.edited_at, datetime)
    assert [one.content for one in other.status_history(post)] == ["<p>frist</p>", "<p>first</p>"]
    assert me.status_source(post).text == "first"
    for wrong in (other.status_source, lambda one: other.status_update(one, "mine now")):
        with pytest.raises(MastodonNotFoundError):
            wrong(post)
    with pytest.raises(MastodonAPIError, match="422"):
        me.status_update(post, "")
    me.status_delete(post)
    assert plaza.sql("SELECT count(*) FROM status_edits WHERE status_id = %s", int(post.id)) == [(0,)]


def find(api: Mastodon, text: str) -> list[str]:
    """Ids of posts that a search finds."""
    return [str(post.id) for post in api.search_v2(text).statuses]


def test_search_finds_what_one_may_see(plaza: Site, name: str) -> None:
    """Words, phrases and exclusions in public posts and one's own; never private, hidden or deleted ones."""
    me, other = plaza.client(name), plaza.client(f"{name}o")
    word = f"zebra{name}"
    public = me.status_post(f"A {word} walks by")
    private = me.status_post(f"A private {word}", visibility="private")
    assert find(other, word) == [str(public.id)]
    assert find(me, word) == [str(private.id), str(public.id)]
    assert find(other, f'"{word} walks"') == [str(public.id)]
    assert find(other, f"{word} -walks") == []
    assert find(other, public.url) == [str(public.id)]
    me.status_update(public, "no animals")
    assert find(other, word) == []
    me.account_update_credentials(display_name=f"Dr. {word}")
    assert [one.username for one in other.account_search(word)] == [name]
    assert name in [one.username for one in other.search_v2(name[:6], result_type="accounts").accounts]
    for strange in ("", "%", "' OR 1=1 --", "((", "!!!", "a" * 5000):
        other.search_v2(strange)


def test_a_profile_is_what_its_owner_shows(plaza: Site, name: str) -> None:
    """Avatar, header and fields through Mastodon.py: cut to shape, served, and gone when they are replaced; by the page, too."""
    me = plaza.client(name)
    post = me.status_post("me", media_ids=[me.media_post(picture(5), "image/png")])
    changed = me.account_update_credentials(
        avatar=picture(1, size=(900, 300)), avatar_mime_type="image/png",
        header=picture(2, size=(300, 900)), header_mime_type="image/png",
        fields=[("Site", "https://example.org/<b>"), ("Says", "hi & bye")],
    )  # fmt: skip
    sizes = {url: Image.open(io.BytesIO(httpx.get(url).content)).size for url in (changed.avatar, changed.header)}
    assert list(sizes.values()) == [(400, 400), (1500, 500)]
    seen = plaza.client(f"{name}o").account(changed.id)
    assert (seen.avatar, seen.header) == (changed.avatar, changed.header)
    assert [(one.name, one.verified_at) for one in seen.fields] == [("Site", None), ("Says", None)]
    assert 'href="https://example.org/"' in seen.fields[0].value
    assert "&lt;b&gt;" in seen.fields[0].value
    assert [one.value for one in changed.source.fields] == ["https://example.org/<b>", "hi & bye"]
    page = httpx.get(f"{plaza.base}/@{name}").text
    assert urlsplit(seen.avatar).path in page
    assert urlsplit(seen.header).path in page
    assert me.account_update_credentials(avatar=picture(3), avatar_mime_type="image/png").header == changed.header
    assert httpx.get(changed.avatar).status_code == 404
    assert plaza.run("facts")["media"]["missing"] == []
    with plaza.http(me) as http:
        assert http.delete("/api/v1/profile/header").json()["header"].endswith("/static/header.png")
        assert httpx.get(changed.header).status_code == 404
        wrong = http.patch("/api/v1/accounts/update_credentials", files={"avatar": ("a.png", b"no picture")})
        assert wrong.status_code == 422
        many = {f"fields_attributes[{n}][name]": "x" for n in range(5)}
        assert http.patch("/api/v1/accounts/update_credentials", data=many).status_code == 422
        rows = {"fields_attributes": [{"name": "One", "value": "1"}]}
        assert len(http.patch("/api/v1/accounts/update_credentials", json=rows).json()["fields"]) == 1
        assert http.post("/api/v1/statuses", data={"media_ids[]": plaza.sql(AVATARS, name)[0][0]}).status_code == 422
    assert me.status(post).media_attachments
    client = browser(plaza, name)
    form = {
        "token": form_token(client, "/settings"),
        "display_name": "",
        "note": "",
        "name2": "Lives",
        "value2": "here",
    }
    sent = client.post("/settings", data=form, files={"header": ("h.jpg", picture(4), "image/jpeg")})
    assert sent.status_code == 303
    assert [(one.name, one.value) for one in me.me().fields] == [("Lives", "here")]
    assert Image.open(io.BytesIO(httpx.get(me.me().header).content)).size == (1500, 500)
    gone = client.post("/settings", data={**form, "no_avatar": "yes", "name2": "", "value2": ""}, files={"x": b""})
    assert (gone.status_code, me.me().fields, me.me().avatar[-18:]) == (303, [], "/static/avatar.png")
    assert client.post("/settings", data=form, files={"avatar": ("a.jpg", b"none")}).status_code == 422


AVATARS = "SELECT m.id FROM media m JOIN accounts a ON a.id = m.account_id WHERE a.username = %s AND purpose = 'avatar'"


def test_notifications_in_groups(plaza: Site, name: str) -> None:
    """Likes of one post are one entry, and so are followers of a day; answers stay single; a group is forgotten whole."""
    me, others = plaza.client(name), [plaza.client(f"{name}{letter}") for letter in "abc"]
    post = me.status_post("like this")
    for other in others:
        other.status_favourite(post)
    for other in others[:2]:
        other.account_follow(me.me())
    plaza.sql("UPDATE notifications SET created_at = now() WHERE kind = 'follow'")  # of one day, also at midnight
    others[0].status_post(f"@{name} well", in_reply_to_id=post)
    with plaza.http(me) as http:
        answer = http.get("/api/v2/notifications")
        groups = answer.json()["notification_groups"]
        assert [(one["type"], one["notifications_count"]) for one in groups] == [
            ("mention", 1),
            ("follow", 2),
            ("favourite", 3),
        ]
        assert groups[2]["status_id"] == str(post.id)
        assert {one["id"] for one in answer.json()["accounts"]} >= set(groups[2]["sample_account_ids"])
        assert {one["id"] for one in answer.json()["statuses"]} >= {str(post.id)}
        path = f"/api/v2/notifications/{groups[2]['group_key']}"
        assert [one["username"] for one in http.get(f"{path}/accounts").json()] == [f"{name}{one}" for one in "cba"]
        assert http.get(path).json()["notification_groups"][0]["notifications_count"] == 3
        single = http.get("/api/v2/notifications", params={"grouped_types[]": "follow", "limit": 2})
        assert [one["notifications_count"] for one in single.json()["notification_groups"]] == [1, 1]
        older = http.get(single.links["next"]["url"]).json()
        assert [one["type"] for one in older["notification_groups"]] == ["follow", "favourite"]
        assert http.post(f"{path}/dismiss").status_code == 200
        assert http.get(path).status_code == 404
        assert http.get("/api/v2/notifications/unread_count").json() == {"count": 3}
        told = browser(plaza, name).get("/notifications").text
        assert told.count("follow you") == told.count("wrote to you") == 1
        ids = {"id[]": [str(me.me().id)]}
        known = http.get("/api/v1/accounts/familiar_followers", params=ids).json()
        assert known == [{"id": str(me.me().id), "accounts": []}]
