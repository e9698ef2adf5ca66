"""removed: which pictures the ledger says are gone, from the whole ledger and only as far as its chain and signatures hold."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from resilience.errors import BrokenChain, UsageError
from resilience.replication import fetch_ledger, seals
from resilience.replication.config import Config

GENESIS = "0" * 64
PICTURE = re.compile(r"[0-9a-f]{64}")


def main(config: Config) -> dict[str, Any]:
    """Fetch the ledger from all vaults, check every entry; {entries, head, pictures: {sha256: the last entry that names it}}."""
    if config.ledger_public_key is None:
        raise UsageError(
            "The configuration has no ledger_public_key.", "Anybody could have written the ledger.", "Add it."
        )
    config.paths.ledger.mkdir(parents=True, exist_ok=True)
    fetch_ledger.fetch(config, config.record.number)
    return read(sorted(config.paths.ledger.glob("[0-9]*.json")), config.ledger_public_key)


def read(paths: Iterable[Path], public: str) -> dict[str, Any]:
    """The pictures that entries name, in order; BrokenChain at the first that is not signed or does not follow."""
    head, count = GENESIS, 0
    pictures: dict[str, int] = {}
    for count, path in enumerate(paths, 1):
        body = path.read_bytes()
        entry = _believed(body, public)
        if entry is None or (entry["seq"], entry["prev"]) != (count, head):
            raise BrokenChain(
                f"ledger entry {count} as it was signed",
                f"ledger entry {count - 1}",
                "Nothing is erased by a ledger that can't be believed. Look at who writes it, and at the vaults.",
            )
        pictures |= dict.fromkeys(entry["media"], count)
        head = hashlib.sha256(body).hexdigest()
    return {"entries": count, "head": head, "pictures": pictures}


def _believed(body: bytes, public: str) -> dict[str, Any] | None:
    """What an entry says, when it is in canonical form, signed with the ledger's key, and names pictures as it should."""
    try:
        entry: dict[str, Any] = json.loads(body)
        signature = entry.pop("signature")
        named = all(PICTURE.fullmatch(name) for name in entry["media"])
        canonical = _canonical({**entry, "signature": signature}) == body and {"seq", "prev"} <= set(entry)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return entry if named and canonical and seals.verify(public, _canonical(entry), signature) else None


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
