"""Evidence: what is known of the posts in a notice, in one file that can be checked without us.

A zip: `evidence.json`, the pictures, the ledger's entries as they were signed, and `manifest.json`, which
names every file's SHA-256 and is signed with the ledger's key. What is gone comes from its legal hold, where
there is one: sealed, unless the private key is given.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resilience.plaza import entities, holds, notices, posts
from resilience.plaza.db import Connection, rows
from resilience.plaza.ledger import Ledger, canonical
from resilience.plaza.posts import Post
from resilience.plaza.store import Store


@dataclass(frozen=True)
class Archive:
    """What is going into the file, by name."""

    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, data: bytes) -> None:
        """One more file."""
        self.files[name] = data

    def write(self, path: Path, ledger: Ledger) -> Mapping[str, Any]:
        """The zip, with a signed list of what is in it; what can be said of it."""
        listed = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(self.files.items())}
        manifest = {"files": listed, "ledger_key": ledger.public_hex}
        signed = canonical({**manifest, "signature": ledger.sign(canonical(manifest))})
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in {"manifest.json": signed, **self.files}.items():
                archive.writestr(name, data)
        data = path.read_bytes()
        return {"file": str(path), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


async def export(
    conn: Connection, notice_id: int, path: Path, *, ledger: Ledger, store: Store, base: str, identity: str | None
) -> dict[str, Any]:
    """Write the evidence of a notice; says what is in it and what is missing."""
    notice = await notices.show(conn, notice_id)
    ids = [int(one["status_id"]) for one in notice["posts"] if one["status_id"]]
    here = await posts.everything(conn, ids)
    held = await holds.sealed(conn, ids)
    archive = Archive()
    content = {str(post.id): _here(post, archive, store, base) for post in here}
    content |= {
        str(one): _held(one, sealed, archive, identity) for one, sealed in held.items() if str(one) not in content
    }
    await _decided(conn, ids, archive)
    archive.add("evidence.json", json.dumps({"notice": notice, "posts": content}, indent=1, default=str).encode())
    gone = sorted({str(one) for one in ids} - set(content))
    unreadable = [str(post.id) for post in here if not post.readable]
    said = {"posts": len(content), "held": len(held), "gone": gone, "unreadable": unreadable}
    return {**archive.write(path, ledger), **said}


def _here(post: Post, archive: Archive, store: Store, base: str) -> dict[str, Any]:
    for one in post.media:
        picture = store.path(one.sha256)
        if picture.is_file():
            archive.add(f"pictures/{one.sha256}", picture.read_bytes())
    if not post.readable:
        return {"from": "database", "unreadable": True, "text": None, "post": {"id": str(post.id)}}
    return {"from": "database", "text": post.text, "post": entities.status(post, base)}


def _held(status_id: int, sealed: bytes, archive: Archive, identity: str | None) -> dict[str, Any]:
    if identity is None:
        archive.add(f"holds/{status_id}.age", sealed)
        return {"from": "hold", "sealed": f"holds/{status_id}.age"}
    content = holds.open_with(identity, sealed)
    for sha256, data in content["pictures"].items():
        if data is not None:
            archive.add(f"pictures/{sha256}", base64.b64decode(data))
    return {"from": "hold", "text": content["text"], "post": content["post"]}


async def _decided(conn: Connection, ids: Iterable[int], archive: Archive) -> None:
    """Decisions about these posts, and the ledger's entries byte for byte."""
    wanted = list(ids)
    decided = await rows(conn, "SELECT * FROM decisions WHERE status_id = ANY(%s) ORDER BY id", wanted)
    archive.add("decisions.json", json.dumps(decided, indent=1, default=str).encode())
    for row in await rows(conn, "SELECT seq, body FROM ledger WHERE status_id = ANY(%s) ORDER BY seq", wanted):
        archive.add(f"ledger/{row['seq']:08d}.json", bytes(row["body"]))
