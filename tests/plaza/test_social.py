"""Likes, bookmarks, blocks, mutes, mentions, notifications, edits and search, as Mastodon.py uses them."""

from __future__ import annotations

from datetime import datetime

import httpx
import pytest
from mastodon import Mastodon, MastodonAPIError, MastodonNotFoundError

from tests.plaza.harness import Site, picture


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
