"""removed: which pictures the ledger says are gone, from the whole ledger and only as far as its chain and signatures hold."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from resilience.errors import BrokenChain, UsageError
from resilience.replication import fetch_ledger, ledger
from resilience.replication.config import Config
from resilience.replication.seals import Verify


def main(config: Config) -> dict[str, Any]:
    """Fetch the ledger from all vaults, check every entry; {entries, head, pictures: {sha256: the last entry that names it}}."""
    if config.ledger_check is None:
        raise UsageError(
            "The configuration has no ledger_public_key.", "Anybody could have written the ledger.", "Add it."
        )
    config.paths.ledger.mkdir(parents=True, exist_ok=True)
    fetch_ledger.fetch(config, config.record.number)
    return read(sorted(config.paths.ledger.glob("[0-9]*.json")), config.ledger_check)


def read(paths: Iterable[Path], check: Verify) -> dict[str, Any]:
    """The pictures that entries name, in order; BrokenChain at the first that is not signed or does not follow."""
    head, count = ledger.GENESIS, 0
    pictures: dict[str, int] = {}
    for count, path in enumerate(paths, 1):
        entry = ledger.read(path.read_bytes(), count, check)
        if entry is None or entry.prev != head:
            raise BrokenChain(
                f"ledger entry {count} as it was signed",
                f"ledger entry {count - 1}",
                "Nothing is erased by a ledger that can't be believed. Look at who writes it, and at the vaults.",
            )
        pictures |= dict.fromkeys(entry.media, count)
        head = entry.sha256
    return {"entries": count, "head": head, "pictures": pictures}
