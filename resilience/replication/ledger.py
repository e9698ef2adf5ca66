"""An entry of the app's ledger, as far as it must be known here: who signed it, its number, what it follows, what goes with it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from resilience.replication.seals import Verify

GENESIS = "0" * 64
PICTURE = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, with the exact bytes that the app wrote."""

    seq: int
    prev: str
    """What it follows: the `sha256` of the entry before."""
    media: tuple[str, ...]
    body: bytes
    sha256: str


def read(body: bytes, seq: int, check: Verify) -> Entry | None:
    """The entry of this number, when it is in canonical form, signed with the ledger's key, and names pictures as it should."""
    try:
        told: dict[str, Any] = json.loads(body)
        signature = told.pop("signature")
        prev, media = told["prev"], told["media"]
        fits = type(told["seq"]) is int and told["seq"] == seq and isinstance(prev, str)
        fits = fits and all(PICTURE.fullmatch(name) for name in media)
        good = fits and _canonical({**told, "signature": signature}) == body and check(_canonical(told), signature)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Entry(seq, prev, tuple(media), body, hashlib.sha256(body).hexdigest()) if good else None


def unsigned(seq: int, body: bytes) -> Entry:
    """An entry of which nobody can tell who wrote it, nor what it follows."""
    return Entry(seq, "", (), body, hashlib.sha256(body).hexdigest())


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
