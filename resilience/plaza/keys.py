"""Persons' keys: what somebody wrote is kept sealed with a key of their own, and opens for nobody once that is destroyed.

A key is a file beside the pictures, named by its sha256 as they are: what is done to a picture (shipped, fetched, counted, erased)
is done to it. Nothing keeps a key in memory: whoever opens a text reads the file, so that a key that is gone is gone at once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from resilience.plaza.errors import Refused
from resilience.plaza.store import KEY, Store

SIZE, NONCE = 32, 12
MIME = "application/octet-stream"
UNSTORABLE = "Validation failed: Text has a character that can't be stored"
GONE = "This can't be read any more: its key is not here."


class Keys:
    """Makes keys, and seals and opens texts with them (AES-256-GCM-SIV, RFC 8452: a nonce that comes twice gives no key away)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.missed = 0
        """Times that a key was asked for by name and was not here."""

    def make(self, *, sync: bool = True) -> str:
        """A new key, durable and handed to the shipper; its name."""
        key = os.urandom(SIZE)
        name = hashlib.sha256(key).hexdigest()
        self._store.keep(name, key, KEY, sync=sync)
        return name

    def has(self, name: str) -> bool:
        """Whether this key is here."""
        return self._store.path(name).exists()

    def bring_back(self, name: str, ring: str, size: int) -> bool:
        """Write a key that lies in this ring; False where it does not, or the ring is not here."""
        key = dict(keys_in(self._store, ring, size)).get(name)
        if key is None:
            return False
        with self._store.bringing_back() as bring_back:
            bring_back(name, key)
        return True

    def cipher(self, name: str | None) -> AESGCMSIV | None:
        """What seals and opens with this key; None where it is gone, or is not what its name says."""
        if name is None:
            return None
        data = self._store.read(name, SIZE + 1)
        if data and len(data) == SIZE and hashlib.sha256(data).hexdigest() == name:
            return AESGCMSIV(data)
        self.missed += 1
        return None

    def seal(self, name: str, row: str, *texts: str) -> bytes:
        """Texts sealed for one row (`table/id`): they open as nothing else."""
        cipher = self.cipher(name)
        if cipher is None:
            raise Refused(503, "What you write can't be kept right now: your key is not here yet. Try again later.")
        return seal(cipher, row, texts)

    def open(self, name: str | None, row: str, sealed: bytes) -> list[str] | None:
        """The texts of a row, or None when they open for nobody here."""
        return unseal(self.cipher(name), row, sealed)


def keys_in(store: Store, ring: str, size: int) -> Iterator[tuple[str, bytes]]:
    """The keys in a keyring that is here, by name; what is not as it was has another name."""
    data = store.read(ring, size) or b""
    for at in range(0, len(data) - SIZE + 1, SIZE):
        key = data[at : at + SIZE]
        yield hashlib.sha256(key).hexdigest(), key


def seal(cipher: AESGCMSIV, row: str, texts: Sequence[str]) -> bytes:
    """A fresh nonce, and the texts bound to their row."""
    nonce = os.urandom(NONCE)
    return nonce + cipher.encrypt(nonce, _plain(texts), row.encode())


def _plain(texts: Sequence[str]) -> bytes:
    if any("\x00" in text for text in texts):
        raise Refused(422, UNSTORABLE)
    try:
        return json.dumps(texts, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused(422, UNSTORABLE) from None


def unseal(cipher: AESGCMSIV | None, row: str, sealed: bytes) -> list[str] | None:
    """What `seal` was given, if this is its key and its row."""
    if cipher is None:
        return None
    try:
        texts: list[str] = json.loads(cipher.decrypt(sealed[:NONCE], sealed[NONCE:], row.encode()))
    except (InvalidTag, ValueError):
        return None
    return texts
