"""One's own data in one file: the archive that Mastodon writes, its CSV lists, and the rest as JSON.

It is made when asked for and kept nowhere, so that nothing of it is left to erase.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, LiteralString

from psycopg.rows import DictRow

from resilience.plaza import accounts, persons, posts
from resilience.plaza.accounts import Account
from resilience.plaza.db import Connection, rows
from resilience.plaza.entities import moment
from resilience.plaza.paging import Page
from resilience.plaza.posts import Post
from resilience.plaza.store import Store
from resilience.plaza.text import line_to_html, to_html

STREAMS = "https://www.w3.org/ns/activitystreams"
PUBLIC = f"{STREAMS}#Public"
STATIC = Path(__file__).parent / "static"
BATCH = 500
MIMES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp"}
REST: dict[str, LiteralString] = {
    "notifications": "SELECT id, kind, from_account_id, status_id, created_at FROM notifications WHERE account_id = %s",
    "reports": "SELECT id, target_account_id, status_ids, category, sealed, comment, created_at FROM reports WHERE account_id = %s",
    "decisions": "SELECT id, status_id, action, rule, reason, created_at FROM decisions WHERE account_id = %s",
    "appeals": "SELECT id, decision_id, sealed, text, outcome, answer, created_at FROM appeals WHERE account_id = %s",
    "sessions": "SELECT created_at, expires_at FROM sessions WHERE account_id = %s",
    "edits": "SELECT e.id, e.status_id, e.sealed, e.text, e.spoiler_text, e.created_at FROM status_edits e "
    "JOIN statuses s ON s.id = e.status_id WHERE s.account_id = %s",
    "account": "SELECT username, email, role, created_at, suspended_at FROM accounts WHERE id = %s",
    "apps": "SELECT p.name, p.website, t.scopes, t.created_at FROM oauth_tokens t JOIN apps p ON p.id = t.app_id "
    "WHERE t.account_id = %s",
}
SEALED = {
    "reports": ("reports", "comment"),
    "appeals": ("appeals", "text"),
    "edits": ("status_edits", "text", "spoiler_text"),
}
"""The table of each, and the texts that its rows hold sealed."""
NAMES: dict[str, LiteralString] = {
    "following": "SELECT a.username FROM follows f JOIN accounts a ON a.id = f.target_id WHERE f.account_id = %s",
    "followers": "SELECT a.username FROM follows f JOIN accounts a ON a.id = f.account_id WHERE f.target_id = %s",
    "blocked": "SELECT a.username FROM blocks b JOIN accounts a ON a.id = b.target_id WHERE b.account_id = %s",
    "muted": "SELECT a.username, m.notifications FROM mutes m JOIN accounts a ON a.id = m.target_id "
    "WHERE m.account_id = %s",
}
LIKED: dict[str, LiteralString] = {
    "likes": "SELECT a.username, s.id FROM favourites v JOIN statuses s ON s.id = v.status_id "
    "JOIN accounts a ON a.id = s.account_id WHERE v.account_id = %s ORDER BY v.id DESC",
    "bookmarks": "SELECT a.username, s.id FROM bookmarks v JOIN statuses s ON s.id = v.status_id "
    "JOIN accounts a ON a.id = s.account_id WHERE v.account_id = %s ORDER BY v.id DESC",
}


@dataclass(frozen=True)
class Belongings:
    """Everything of one person, as it comes from the database."""

    account: Account
    posts: Sequence[Post]
    answered: dict[int, Account]
    lists: dict[str, list[DictRow]]


async def gather(conn: Connection, account: Account) -> Belongings:
    """Read everything of one person."""
    found: list[Post] = []
    while True:
        page = Page(limit=BATCH, max_id=found[-1].id if found else None)
        batch = await posts.of_account(conn, account.id, account.id, page)
        found += batch
        if len(batch) < BATCH:
            break
    answered = await accounts.many(conn, list({p.in_reply_to_account_id for p in found if p.in_reply_to_account_id}))
    wanted = {**REST, **NAMES, **LIKED}
    lists = {name: await rows(conn, sql, account.id) for name, sql in wanted.items()}
    for name, (table, *columns) in SEALED.items():
        for row in lists[name]:
            clear = [row[column] for column in columns]
            texts = persons.unsealed(conn, account.key_sha256, f"{table}/{row['id']}", row.pop("sealed"), *clear)
            row |= dict(zip(columns, texts, strict=True))
    for row in lists["account"]:
        row |= {"display_name": account.display_name, "note": account.note}
    return Belongings(account, found, answered, lists)


def write(target: Path, one: Belongings, store: Store, base: str, domain: str) -> None:
    """The archive as a zip. Blocking: the server calls it in a thread."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        _json(archive, "actor.json", _actor(one.account, base))
        for purpose, path in _faces(one.account).items():
            stored = store.path(PurePath(path).stem)
            if path.startswith("/media/") and stored.is_file():
                archive.write(stored, purpose + PurePath(path).suffix, zipfile.ZIP_STORED)
            else:
                archive.write(STATIC / f"{purpose}.png", purpose + PurePath(path).suffix)
        for post in one.posts:
            for item in post.media:
                if store.path(item.sha256).is_file():
                    archive.write(store.path(item.sha256), _file(item.path), zipfile.ZIP_STORED)
        items = [_create(post, one.answered, base) for post in reversed(one.posts)]
        _json(archive, "outbox.json", _collection("outbox.json", items))
        for name in LIKED:
            uris = [f"{base}/@{row['username']}/{row['id']}" for row in one.lists[name]]
            _json(archive, f"{name}.json", _collection(f"{name}.json", uris))
        for name, table in _tables(one, base, domain).items():
            archive.writestr(name, _csv(table))
        _json(archive, "plaza.json", {name: one.lists[name] for name in REST})


def _tables(one: Belongings, base: str, domain: str) -> dict[str, list[list[str]]]:
    """The lists that Mastodon's settings export and import as CSV."""

    def names(name: str) -> list[str]:
        return [f"{row['username']}@{domain}" for row in one.lists[name]]

    follows = [[name, "true", "false", ""] for name in names("following")]
    mutes = [[f"{r['username']}@{domain}", str(r["notifications"]).lower()] for r in one.lists["muted"]]
    return {
        "following_accounts.csv": [["Account address", "Show boosts", "Notify on new posts", "Languages"], *follows],
        "followers.csv": [["Account address"], *([name] for name in names("followers"))],
        "blocked_accounts.csv": [[name] for name in names("blocked")],
        "muted_accounts.csv": [["Account address", "Hide notifications"], *mutes],
        "bookmarks.csv": [[f"{base}/@{row['username']}/{row['id']}"] for row in one.lists["bookmarks"]],
    }


def _actor(one: Account, base: str) -> dict[str, Any]:
    page = f"{base}/@{one.username}"
    return {
        "@context": [STREAMS, "https://w3id.org/security/v1"],
        "id": page,
        "type": "Person",
        "following": f"{page}/following",
        "followers": f"{page}/followers",
        "inbox": f"{page}/inbox",
        "outbox": "outbox.json",
        "likes": "likes.json",
        "bookmarks": "bookmarks.json",
        "preferredUsername": one.username,
        "name": one.display_name,
        "summary": to_html(one.note),
        "url": page,
        "manuallyApprovesFollowers": False,
        "discoverable": True,
        "published": moment(one.created_at),
        "attachment": [{"type": "PropertyValue", "name": n, "value": line_to_html(v)} for n, v in one.fields],
        "icon": _image("avatar", _faces(one)["avatar"]),
        "image": _image("header", _faces(one)["header"]),
    }


def _faces(one: Account) -> dict[str, str]:
    """Where somebody's two pictures are, their own or everybody's."""
    return {"avatar": one.avatar or "avatar.png", "header": one.header or "header.png"}


def _image(purpose: str, path: str) -> dict[str, str]:
    suffix = PurePath(path).suffix
    return {"type": "Image", "mediaType": MIMES[suffix], "url": purpose + suffix}


def _create(post: Post, answered: dict[int, Account], base: str) -> dict[str, Any]:
    """A Create activity with its Note."""
    author = f"{base}/@{post.account.username}"
    url = f"{author}/{post.id}"
    to, cc = _audience(post.visibility, f"{author}/followers")
    seen = {"published": moment(post.created_at), "to": to, "cc": cc}
    content = to_html(post.text)
    parent = answered.get(post.in_reply_to_account_id or 0)
    note = {
        "id": url,
        "type": "Note",
        "summary": post.spoiler_text or None,
        "inReplyTo": f"{base}/@{parent.username}/{post.in_reply_to_id}" if parent else None,
        **seen,
        **({"updated": moment(post.edited_at)} if post.edited_at else {}),
        "url": url,
        "attributedTo": author,
        "sensitive": post.sensitive,
        "content": content,
        "contentMap": {post.language: content} if post.language else {},
        "attachment": [
            {
                "type": "Document",
                "mediaType": item.mime,
                "url": _file(item.path),
                "name": item.description or None,
                "width": item.width,
                "height": item.height,
            }
            for item in post.media
        ],
        "tag": [{"type": "Mention", "href": f"{base}/@{m.username}", "name": f"@{m.username}"} for m in post.mentions],
    }
    return {"id": f"{url}/activity", "type": "Create", "actor": author, **seen, "object": note}


def _audience(visibility: str, followers: str) -> tuple[list[str], list[str]]:
    if visibility == "public":
        return [PUBLIC], [followers]
    return ([followers], [PUBLIC]) if visibility == "unlisted" else ([followers], [])


def _collection(name: str, items: Sequence[Any]) -> dict[str, Any]:
    return {
        "@context": STREAMS, "id": name, "type": "OrderedCollection", "totalItems": len(items), "orderedItems": items
    }  # fmt: skip


def _file(path: str) -> str:
    return "media_attachments/files" + path.removeprefix("/media")


def _json(archive: zipfile.ZipFile, name: str, value: object) -> None:
    archive.writestr(name, json.dumps(value, ensure_ascii=False, default=str))


def _csv(table: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    return text.getvalue()
