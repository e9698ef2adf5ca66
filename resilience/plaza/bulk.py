"""Bulk loading: many people, posts and pictures at once, the same ones for the same seed."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import os
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from PIL import Image

from resilience.plaza import keyrings
from resilience.plaza.errors import PlazaError
from resilience.plaza.keyrings import MOST
from resilience.plaza.keys import MIME, SIZE, Keys, seal
from resilience.plaza.passwords import Passwords
from resilience.plaza.pictures import Picture, picture_of
from resilience.plaza.posts import MAX_TEXT
from resilience.plaza.store import Store

PASSWORD = "bulk loaded people share this"  # noqa: S105 (for labs; the README says so)
BEGIN_MS = 1_735_689_600_000
"""2025-01-01, so that the same seed gives the same ids whenever it is loaded."""
YEAR_MS = 365 * 86_400_000
FOLLOWS = 20
REPLIES = 0.15
CROP = (0.6, 0.95)
"""How much of a picture's width and height a crop keeps."""

Connection = psycopg.Connection[tuple[Any, ...]]
Kept = tuple[str, str, int, int, int]
"""Hash, type, bytes, width and height of a stored picture."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much to load, and of what."""

    users: int
    posts: int
    pictures: Path | None
    picture_count: int
    texts: Path
    seed: int
    as_they_are: bool = False
    """Take each given picture once, as it is: somebody made it ready before."""

    @classmethod
    def of(cls, options: argparse.Namespace) -> Size:
        """From the command line."""
        return cls(
            options.users,
            options.posts,
            options.pictures,
            options.picture_count,
            options.texts,
            options.seed,
            options.as_they_are,
        )


def load(url: str, store: Store, profile: str, size: Size) -> dict[str, Any]:
    """Fill an empty database; says how long it took and how large it became."""
    began = time.monotonic()
    texts = _texts(size.texts)
    rng = random.Random(size.seed)  # noqa: S311 (the same data for the same seed)
    people = _ids(rng, size.users, BEGIN_MS, YEAR_MS // 12)
    posts = _ids(rng, size.posts, BEGIN_MS + YEAR_MS // 12, YEAR_MS * 11 // 12)
    pictures = _pictures(rng, store, size)
    writers = Writers(Keys(store))
    with psycopg.connect(url) as conn:
        _refuse_if_used(conn)
        with _no_indexes(conn, "statuses"), _no_indexes(conn, "follows"):
            _copy_people(conn, people, asyncio.run(_hash(profile)))
            _copy_follows(conn, rng, people)
            authors = _copy_posts(conn, rng, people, posts, texts, writers)
            _copy_media(conn, rng, posts, authors, pictures, writers)
            _copy_keys(conn, store, writers)
        conn.execute(COUNT)
        conn.execute(WORDS)
        os.sync()
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE")
        row = conn.execute("SELECT pg_database_size(current_database())").fetchone()
    return {
        "users": len(people),
        "posts": len(posts),
        "pictures": len(pictures),
        "db_bytes": row[0] if row else 0,
        "seconds": round(time.monotonic() - began, 1),
    }


class Writers:
    """Keys of those who write something, made when they first do."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.names: dict[int, str] = {}
        self._ciphers: dict[int, AESGCMSIV] = {}

    def seal(self, author: int, row: str, *texts: str) -> bytes:
        """Texts sealed with their author's key; the file is synced with all others at the end."""
        cipher = self._ciphers.get(author) or self._begin(author)
        return seal(cipher, row, texts)

    def _begin(self, author: int) -> AESGCMSIV:
        self.names[author] = name = self._keys.make(sync=False)
        cipher = self._keys.cipher(name)
        assert cipher is not None
        self._ciphers[author] = cipher
        return cipher


@contextmanager
def _no_indexes(conn: Connection, table: str) -> Iterator[None]:
    """Build the table's indexes after it is filled: row by row they would write many times as much WAL.

    Emptied in this transaction, the table also takes rows that need no freezing later.
    """
    indexes = conn.execute(INDEXES, {"table": table}).fetchall()
    conn.execute(f"TRUNCATE {table} CASCADE")
    conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for name, _ in indexes:
        conn.execute(f"DROP INDEX {name}")
    yield
    conn.execute("SET LOCAL maintenance_work_mem = '256MB'")
    for _, definition in indexes:
        conn.execute(definition)
    conn.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


INDEXES = """SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index i
    WHERE indrelid = %(table)s::regclass
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)"""
"""Those that no constraint rests on."""
COUNT = """UPDATE accounts a SET
    statuses_count = coalesce(s.many, 0), key_sha256 = k.sha256, last_status_at = s.last::date,
    following_count = coalesce(f.many, 0), followers_count = coalesce(t.many, 0)
    FROM accounts b
    LEFT JOIN (SELECT account_id, count(*) AS many, max(created_at) AS last FROM statuses GROUP BY 1) s ON s.account_id = b.id
    LEFT JOIN (SELECT account_id, count(*) AS many FROM follows GROUP BY 1) f ON f.account_id = b.id
    LEFT JOIN (SELECT target_id, count(*) AS many FROM follows GROUP BY 1) t ON t.target_id = b.id
    LEFT JOIN media k ON k.account_id = b.id AND k.purpose = 'key'
    WHERE a.id = b.id"""
WORDS = """INSERT INTO search_filled (name, below) VALUES ('statuses', 0), ('accounts', 0)
    ON CONFLICT (name) DO UPDATE SET below = 0"""


def _refuse_if_used(conn: Connection) -> None:
    if conn.execute("SELECT 1 FROM accounts LIMIT 1").fetchone():
        raise PlazaError("Nothing was loaded", "somebody is here already", "Use an empty database.")


def _texts(path: Path) -> list[str]:
    found = [part.strip() for part in path.read_text(errors="replace").split("\n%\n")]
    texts = [text.replace("\0", "") for text in found if 0 < len(text) <= MAX_TEXT]
    if not texts:
        raise PlazaError("Nothing was loaded", f"{path} has no short texts", "Separate them by lines of '%'.")
    return texts


def _ids(rng: random.Random, count: int, begin_ms: int, span_ms: int) -> list[int]:
    """Ids in the order of time, each once."""
    step = max(1, span_ms // max(1, count))
    return [(begin_ms + number * step + rng.randrange(step)) << 16 | rng.randrange(1 << 16) for number in range(count)]


def _moment(identifier: int) -> datetime:
    return datetime.fromtimestamp((identifier >> 16) / 1000, UTC)


async def _hash(profile: str) -> str:
    """One hash for everybody: a bulk of them would take hours, which is the point of argon2."""
    passwords = Passwords(profile)
    try:
        return await passwords.hash(PASSWORD)
    finally:
        passwords.close()


def _copy_people(conn: Connection, people: Sequence[int], password_hash: str) -> None:
    with conn.cursor().copy("COPY accounts (id, username, password_hash, created_at) FROM STDIN") as copy:
        for number, person in enumerate(people):
            copy.write_row((person, f"bulk{number:06d}", password_hash, _moment(person)))


def _copy_follows(conn: Connection, rng: random.Random, people: Sequence[int]) -> None:
    with conn.cursor().copy("COPY follows (account_id, target_id) FROM STDIN (FREEZE)") as copy:
        for person in people:
            for target in sorted({rng.choice(people) for _ in range(FOLLOWS)} - {person}):
                copy.write_row((person, target))


def _copy_posts(
    conn: Connection,
    rng: random.Random,
    people: Sequence[int],
    posts: Sequence[int],
    texts: Sequence[str],
    writers: Writers,
) -> list[int]:
    """Posts; few people write much, most write little. Returns the author of each."""
    columns = "id, account_id, sealed, in_reply_to_id, in_reply_to_account_id, created_at"
    authors: list[int] = []
    chosen: list[int] = []
    with conn.cursor().copy(f"COPY statuses ({columns}) FROM STDIN (FREEZE)") as copy:
        for number, post in enumerate(posts):
            author = people[int(len(people) * rng.random() ** 2)]
            parent = None
            if number and rng.random() < REPLIES:
                parent = rng.randrange(max(0, number - 500), number)
            replied = (None, None) if parent is None else (posts[parent], authors[parent])
            authors.append(author)
            chosen.append(rng.randrange(len(texts)))
            sealed = writers.seal(author, f"statuses/{post}", texts[chosen[-1]], "")
            copy.write_row((post, author, sealed, *replied, _moment(post)))
    _copy_words(conn, posts, chosen, texts)
    return authors


def _copy_words(conn: Connection, posts: Sequence[int], chosen: Sequence[int], texts: Sequence[str]) -> None:
    """What search finds them by: each text is looked at once, and no log has it, since temporary tables have none either."""
    conn.execute("CREATE TEMP TABLE said (n integer, words tsvector) ON COMMIT DROP")
    conn.execute("CREATE TEMP TABLE chosen (id bigint, n integer) ON COMMIT DROP")
    with conn.cursor() as cursor:
        cursor.executemany("INSERT INTO said VALUES (%s, to_tsvector('simple', %s))", list(enumerate(texts)))
        with cursor.copy("COPY chosen FROM STDIN") as copy:
            for row in zip(posts, chosen, strict=True):
                copy.write_row(row)
    with _no_indexes(conn, "search_posts"):
        conn.execute("INSERT INTO search_posts SELECT c.id, s.words FROM chosen c JOIN said s USING (n) ORDER BY c.id")


def _copy_media(
    conn: Connection,
    rng: random.Random,
    posts: Sequence[int],
    authors: Sequence[int],
    pictures: Sequence[Kept],
    writers: Writers,
) -> None:
    columns = "id, account_id, status_id, sha256, mime, bytes, width, height, sealed, created_at"
    chosen = sorted(rng.sample(range(len(posts)), min(len(pictures), len(posts))))
    with conn.cursor().copy(f"COPY media ({columns}) FROM STDIN") as copy:
        for number, picture in zip(chosen, pictures, strict=False):
            post, moment = posts[number], _moment(posts[number])
            sealed = writers.seal(authors[number], f"media/{post}", "A picture")
            copy.write_row((post, authors[number], post, *picture, sealed, moment))


def _copy_keys(conn: Connection, store: Store, writers: Writers) -> None:
    """Keys are media; each has its owner's id, which no post has, and lies in a keyring."""
    people = list(writers.names)
    rings = {
        at: _ring(conn, store, [writers.names[p] for p in people[at : at + MOST]]) for at in range(0, len(people), MOST)
    }
    columns = "id, account_id, sha256, mime, bytes, width, height, purpose, ring, created_at"
    with conn.cursor().copy(f"COPY media ({columns}) FROM STDIN") as copy:
        for number, (person, name) in enumerate(writers.names.items()):
            ring = rings[number - number % MOST]
            copy.write_row((person, person, name, MIME, SIZE, 0, 0, "key", ring, _moment(person)))


def _ring(conn: Connection, store: Store, names: Sequence[str]) -> int:
    """The row of a keyring with these keys; labs alone do without the ledger's naming it."""
    data = b"".join(store.path(name).read_bytes() for name in names)
    sha256 = hashlib.sha256(data).hexdigest()
    store.keep(sha256, data, sync=False)
    return keyrings.add(conn, sha256, len(data))


def _pictures(rng: random.Random, store: Store, size: Size) -> list[Kept]:
    """Pictures in the store, each another part of one that was given."""
    if size.pictures is None or (size.picture_count == 0 and not size.as_they_are):
        return []
    sources = sorted(path for path in size.pictures.rglob("*") if path.is_file())
    if not sources:
        raise PlazaError("Nothing was loaded", f"{size.pictures} has no pictures", "Put some there.")
    if size.as_they_are:
        kept = [_keep(store, _ready(source)) for source in sources]
        os.sync()
        return kept
    share = -(-size.picture_count // len(sources))
    found: list[Kept] = []
    for source in sources:
        crops = _crops(rng, source, min(share, size.picture_count - len(found)))
        found += [_keep(store, crop) for crop in crops]
    os.sync()
    return found


def _crops(rng: random.Random, source: Path, count: int) -> Iterator[Picture]:
    with Image.open(source) as image:
        whole = image.convert("RGB")
    whole.thumbnail((1600, 1600))
    for _ in range(count):
        width, height = (max(1, int(side * rng.uniform(*CROP))) for side in whole.size)
        left, top = rng.randrange(whole.width - width + 1), rng.randrange(whole.height - height + 1)
        yield picture_of(whole.crop((left, top, left + width, top + height)))


def _ready(source: Path) -> Picture:
    """A picture that needs no work: only its size and kind are looked at."""
    data = source.read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        mime = str(image.get_format_mimetype())
        return Picture(hashlib.sha256(data).hexdigest(), data, mime, image.width, image.height)


def _keep(store: Store, picture: Picture) -> Kept:
    store.put(picture, sync=False)
    return picture.sha256, picture.mime, len(picture.data), picture.width, picture.height
