"""Notes that one command leaves for another on the same host: a snapshot was taken, or read back, a vault was verified."""

from __future__ import annotations

import json
import time
from typing import Any, Literal

from resilience.errors import UsageError
from resilience.replication.config import Config, write_atomic

Kind = Literal["snapshot", "read-back", "verified", "caught-up"]


def keep(config: Config, kind: Kind, facts: dict[str, Any]) -> None:
    """Remember the newest of its kind, also over a reboot."""
    write_atomic(config.paths.spool / "notes" / f"{kind}.json", json.dumps(facts).encode())


def read(config: Config, kind: Kind) -> dict[str, Any] | None:
    """The newest of its kind; None when there was none."""
    try:
        facts: dict[str, Any] = json.loads((config.paths.spool / "notes" / f"{kind}.json").read_text())
    except (OSError, ValueError):
        return None
    return facts


def main(config: Config, vault: str | None) -> dict[str, Any]:
    """verified, on the primary: this vault gave the database back just now, so that ship can say when; by vault, in seconds."""
    if vault not in config.record.vaults:
        raise UsageError(
            f"{vault} is no vault of epoch {config.record.number}.",
            f"They are: {', '.join(config.record.vaults)}.",
            "Give one of them as --vault.",
        )
    known = {name: at for name, at in (read(config, "verified") or {}).items() if name in config.record.vaults}
    told = {**known, vault: time.time()}
    keep(config, "verified", told)
    return told
