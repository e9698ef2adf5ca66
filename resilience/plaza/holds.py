"""Legal holds: a copy of what is about to go, sealed (age) for a key that no site has.

It is in a schema of its own that no page and no route reads. Without HOLD_RECIPIENT nothing can be held.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyrage

from resilience.plaza import entities
from resilience.plaza.db import Connection, rows
from resilience.plaza.errors import PlazaError, Refused
from resilience.plaza.ids import new_id
from resilience.plaza.posts import Post
from resilience.plaza.store import Store


class Holds:
    """Seals posts for whoever answers to a court."""

    def __init__(self, recipient: str, store: Store, base: str) -> None:
        self._recipient = _recipient(recipient) if recipient else None
        self._store = store
        self._base = base

    @property
    def possible(self) -> bool:
        """Whether there is a key to seal for."""
        return self._recipient is not None

    async def keep(self, conn: Connection, posts: Iterable[Post]) -> None:
        """Seal posts with their pictures, in the transaction that comes before they go."""
        if self._recipient is None:
            raise Refused(422, "Validation failed: This site has no key for legal holds (HOLD_RECIPIENT)")
        for post in posts:
            await self._keep(conn, post, self._recipient)

    async def _keep(self, conn: Connection, post: Post, recipient: pyrage.x25519.Recipient) -> None:
        if not post.readable:
            raise Refused(503, "This post can't be held right now: its author's key is not here yet. Try again later.")
        pictures = {one.sha256: self._picture(one.sha256) for one in post.media}
        content = {"post": entities.status(post, self._base), "text": post.text, "pictures": pictures}
        sealed = pyrage.encrypt(json.dumps(content).encode(), [recipient])
        await conn.execute(
            "INSERT INTO hold.items (id, status_id, sealed) VALUES (%s, %s, %s)", (new_id(), post.id, sealed)
        )

    def _picture(self, sha256: str) -> str | None:
        path = self._store.path(sha256)
        return base64.b64encode(path.read_bytes()).decode() if path.is_file() else None


def _recipient(text: str) -> pyrage.x25519.Recipient:
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise PlazaError(
            "HOLD_RECIPIENT can't be used", str(error), "Put the public half of an age key there (age1…)."
        ) from None


async def sealed(conn: Connection, status_ids: list[int]) -> Mapping[int, bytes]:
    """What is held of these posts, still sealed; the newest of each."""
    found = await rows(
        conn, "SELECT status_id, sealed FROM hold.items WHERE status_id = ANY(%s) ORDER BY id", status_ids
    )
    return {row["status_id"]: bytes(row["sealed"]) for row in found}


async def release(conn: Connection, status_id: int) -> int:
    """Destroy what is held of a post; how many copies there were."""
    cursor = await conn.execute("DELETE FROM hold.items WHERE status_id = %s", (status_id,))
    return cursor.rowcount


def open_with(identity: str, held: bytes) -> dict[str, Any]:
    """What was sealed, for whoever has the private key."""
    try:
        content: dict[str, Any] = json.loads(pyrage.decrypt(held, [pyrage.x25519.Identity.from_str(identity.strip())]))
    except (pyrage.IdentityError, pyrage.DecryptError) as error:
        raise PlazaError("The hold can't be opened", str(error), "Use the private half of HOLD_RECIPIENT.") from None
    return content
