"""Keyrings: many keys in one file, so that a new site has everybody's after few reads.

A keyring is one more medium, named by its sha256 and nobody's own: keys of 32 bytes, one after the other. A key's name is its own
sha256, so a ring needs no names. No text waits for one: each key is a file of its own besides, here and in every vault.

The ledger names a ring before it is made. So once no row names it (a restore went back behind its making, or somebody in it was erased) it
leaves this host and the vaults as whatever the ledger names does, and keeps nobody's key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256 as digest
from typing import Any, LiteralString

import psycopg

from resilience.plaza import ledger as chain
from resilience.plaza.erasure import lock_pictures
from resilience.plaza.ids import new_id
from resilience.plaza.keys import MIME, SIZE, keys_in
from resilience.plaza.ledger import Draft
from resilience.plaza.store import Store

MOST = 1000
"""Keys in a ring: 32 kB, as a small picture has."""

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys that are to lie in one file."""

    keys: dict[str, int]
    """Their names, in the order of the file, and their rows."""
    data: bytes
    replaced: dict[str, int]
    """Smaller rings whose keys are in it, and their rows."""

    @property
    def sha256(self) -> str:
        """Its name."""
        return digest(self.data).hexdigest()

    @property
    def draft(self) -> Draft:
        """What the ledger says before the ring is anywhere."""
        return draft([self.sha256], self.replaced)


def draft(made: Iterable[str], dropped: Mapping[str, int]) -> Draft:
    """An entry that names rings: those that are dropped lose their rows, and whatever no row names goes."""
    names = tuple(sorted({*made, *dropped}))
    return Draft(chain.KEYRING, {}, names, "keyrings: each goes once no row names it", "plaza", tuple(dropped.values()))


def gathered(conn: Connection, store: Store, most: int, *, fewer: bool) -> Keyring | None:
    """The next ring: of keys that lie in none and are here, oldest first; with those of small rings where it has `fewer` than the most.

    Any two rings with room left hold more than one ring's keys, so there are at most twice as many as are needed.
    """
    found: dict[str, tuple[int, bytes]] = {}
    for row, name in _loose(conn, most):
        if (key := _key(store, name)) is not None:
            found[name] = row, key
        if len(found) == most:
            return _keyring(found, {})
    if not found or not fewer:
        return None
    replaced: dict[str, int] = {}
    for row, sha256, size in conn.execute(SMALL, (most * SIZE,)).fetchall():
        inside = {name: (at, key) for at, name in _inside(conn, row) if (key := _key(store, name)) is not None}
        if len(inside) == size // SIZE and len(found) + len(inside) <= most:
            found |= inside
            replaced[sha256] = row
    return _keyring(found, replaced)


def useless(conn: Connection, store: Store) -> dict[str, int]:
    """Rings whose file is not here although each of their keys is, and their rows."""
    rings = conn.execute("SELECT sha256, id, bytes FROM media WHERE purpose = 'keyring'").fetchall()
    lacking = {sha256: row for sha256, row, size in rings if not store.has(sha256, size)}
    return {name: row for name, row in lacking.items() if all(_key(store, key) for _, key in _inside(conn, row))}


def make(conn: Connection, store: Store, ring: Keyring) -> bool:
    """Make a ring that the ledger names, while nobody appends to that; False where its keys are not there and loose any more."""
    lock_pictures(conn, [ring.sha256])
    rows = list(ring.keys.values())
    if {name: row for row, name in conn.execute(LOCKED, (rows,))} != ring.keys:
        return False
    store.keep(ring.sha256, ring.data)
    row = add(conn, ring.sha256, len(ring.data))
    conn.execute("UPDATE media SET ring = %s WHERE id = ANY(%s)", (row, rows))
    return True


def add(conn: Connection, sha256: str, size: int) -> int:
    """The row of a ring whose file is here; its id."""
    row = new_id()
    conn.execute(ADD, {"id": row, "name": sha256, "mime": MIME, "size": size})
    return row


def unpack(url: str, store: Store) -> list[str]:
    """Write the keys that rows name, that are not here, and that lie in a ring which is; the names of those that don't."""
    with psycopg.connect(url, connect_timeout=5) as conn:
        wanted: dict[str, int | None] = dict(conn.execute("SELECT sha256, ring FROM media WHERE purpose = 'key'"))
        lacking = {name for name in wanted if not store.has(name, SIZE)}
        rings = list({ring for name in lacking if (ring := wanted[name]) is not None})
        found = conn.execute("SELECT sha256, bytes FROM media WHERE id = ANY(%s)", (rings,)).fetchall()
    with store.bringing_back() as bring_back:
        for sha256, size in found:
            for name, key in keys_in(store, sha256, size):
                if name in lacking:
                    bring_back(name, key)
                    lacking.discard(name)
    return sorted(lacking)


def still_wanted(url: str, names: Iterable[str]) -> list[str]:
    """Those of these keys that a row names."""
    sql: LiteralString = "SELECT sha256 FROM media WHERE purpose = 'key' AND sha256 = ANY(%s) ORDER BY sha256"
    with psycopg.connect(url, connect_timeout=5) as conn:
        return [row[0] for row in conn.execute(sql, (list(names),))]


def _loose(conn: Connection, most: int) -> Iterator[tuple[int, str]]:
    after = 0
    while rows := conn.execute(LOOSE, (after, most)).fetchall():
        yield from rows
        after = rows[-1][0]


def _inside(conn: Connection, ring: int) -> list[tuple[int, str]]:
    return conn.execute(INSIDE, (ring,)).fetchall()


def _key(store: Store, name: str) -> bytes | None:
    data = store.read(name, SIZE + 1)
    return data if data and digest(data).hexdigest() == name else None


def _keyring(found: dict[str, tuple[int, bytes]], replaced: dict[str, int]) -> Keyring:
    return Keyring(
        {name: row for name, (row, _) in found.items()}, b"".join(key for _, key in found.values()), replaced
    )


LOOSE: LiteralString = (
    "SELECT id, sha256 FROM media WHERE purpose = 'key' AND ring IS NULL AND id > %s ORDER BY id LIMIT %s"
)
SMALL: LiteralString = "SELECT id, sha256, bytes FROM media WHERE purpose = 'keyring' AND bytes < %s ORDER BY bytes, id"
INSIDE: LiteralString = "SELECT id, sha256 FROM media WHERE ring = %s AND purpose = 'key' ORDER BY id"
LOCKED: LiteralString = """
SELECT id, sha256 FROM media WHERE id = ANY(%s) AND purpose = 'key' AND ring IS NULL ORDER BY id FOR NO KEY UPDATE
"""
ADD: LiteralString = """
INSERT INTO media (id, sha256, mime, bytes, width, height, purpose)
VALUES (%(id)s, %(name)s, %(mime)s, %(size)s, 0, 0, 'keyring')
"""
