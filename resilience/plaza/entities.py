"""Entities: what plaza knows, in the shapes that Mastodon's client API documents."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from resilience.plaza.accounts import Account, Relationship
from resilience.plaza.media import Media
from resilience.plaza.posts import Post
from resilience.plaza.text import line_to_html, to_html

Entity = dict[str, Any]


def moment(value: datetime) -> str:
    """A point in time as Mastodon writes it."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def account(one: Account, base: str) -> Entity:
    """Account, as anybody may see it."""
    page = f"{base}/@{one.username}"
    shown = one.suspended_at is None
    avatar = base + (one.avatar if shown and one.avatar else "/static/avatar.png")
    header = base + (one.header if shown and one.header else "/static/header.png")
    role = [{"id": "1", "name": "Moderator", "color": ""}] if one.is_moderator else []
    return {
        "id": str(one.id),
        "username": one.username,
        "acct": one.username,
        "display_name": one.shown_name if shown else one.username,
        "locked": False,
        "bot": False,
        "discoverable": True,
        "indexable": False,
        "group": False,
        "noindex": True,
        "hide_collections": True,
        "created_at": moment(one.created_at),
        "note": to_html(one.note) if shown else "",
        "url": page,
        "uri": page,
        "avatar": avatar,
        "avatar_static": avatar,
        "header": header,
        "header_static": header,
        "followers_count": one.followers_count,
        "following_count": one.following_count,
        "statuses_count": one.statuses_count,
        "last_status_at": one.last_status_at.isoformat() if one.last_status_at else None,
        "emojis": [],
        "fields": [field(*pair) for pair in one.fields] if shown else [],
        "roles": role,
        **({"suspended": True} if one.suspended_at else {}),
    }


def field(name: str, value: str) -> Entity:
    """Field of a profile; plaza looks at no other site to verify one."""
    return {"name": name, "value": line_to_html(value), "verified_at": None}


def credential_account(one: Account, base: str) -> Entity:
    """CredentialAccount, as its owner sees it."""
    source = {
        "privacy": "public",
        "sensitive": False,
        "language": None,
        "note": one.note,
        "fields": [{**field(*pair), "value": pair[1]} for pair in one.fields],
        "follow_requests_count": 0,
        "hide_collections": True,
        "discoverable": True,
        "indexable": False,
    }
    permissions = "16" if one.is_moderator else "0"
    role = {
        "id": "1" if one.is_moderator else "-99",
        "name": "Moderator" if one.is_moderator else "",
        "permissions": permissions,
        "color": "",
        "highlighted": one.is_moderator,
    }
    return {**account(one, base), "source": source, "role": role}


def relationship(one: Relationship) -> Entity:
    """Relationship between the caller and somebody else."""
    no = ("notifying", "requested", "requested_by", "domain_blocking", "endorsed")
    return {
        "id": str(one.id),
        "following": one.following,
        "followed_by": one.followed_by,
        "blocking": one.blocking,
        "blocked_by": one.blocked_by,
        "muting": one.muting,
        "muting_notifications": one.muting_notifications,
        "showing_reblogs": one.following,
        "languages": None,
        "note": "",
        **dict.fromkeys(no, False),
    }


def attachment(one: Media, base: str) -> Entity:
    """MediaAttachment."""
    url = base + one.path
    size = {
        "width": one.width,
        "height": one.height,
        "size": f"{one.width}x{one.height}",
        "aspect": one.width / one.height,
    }
    return {
        "id": str(one.id),
        "type": "image",
        "url": url,
        "preview_url": url,
        "remote_url": None,
        "preview_remote_url": None,
        "text_url": None,
        "meta": {"original": size, "small": size, "focus": {"x": 0.0, "y": 0.0}},
        "description": one.description or None,
        "blurhash": None,
    }


def status(one: Post, base: str) -> Entity:
    """Status."""
    page = f"{base}/@{one.account.username}/{one.id}"
    application = None
    if one.app_name:
        application = {"name": one.app_name, "website": one.app_website}
    return {
        "id": str(one.id),
        "created_at": moment(one.created_at),
        "in_reply_to_id": _text(one.in_reply_to_id),
        "in_reply_to_account_id": _text(one.in_reply_to_account_id),
        "sensitive": one.sensitive,
        "spoiler_text": one.spoiler_text,
        "visibility": one.visibility,
        "language": one.language,
        "uri": page,
        "url": page,
        "replies_count": one.replies_count,
        "reblogs_count": 0,
        "favourites_count": one.favourites_count,
        "edited_at": moment(one.edited_at) if one.edited_at else None,
        "favourited": one.favourited,
        "reblogged": False,
        "muted": False,
        "bookmarked": one.bookmarked,
        "pinned": False,
        "content": to_html(one.text, {m.username.lower(): f"{base}/@{m.username}" for m in one.mentions}),
        "filtered": [],
        "reblog": None,
        "application": application,
        "account": account(one.account, base),
        "media_attachments": [attachment(item, base) for item in one.media],
        "mentions": [
            {"id": str(m.id), "username": m.username, "acct": m.username, "url": f"{base}/@{m.username}"}
            for m in one.mentions
        ],
        "tags": [],
        "emojis": [],
        "card": None,
        "poll": None,
    }


def statuses(posts: Iterable[Post], base: str) -> list[Entity]:
    """A list of Status."""
    return [status(post, base) for post in posts]


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)
