"""Notes that one command leaves for another on the same host: a snapshot was taken, one was verified."""

from __future__ import annotations

import json
from typing import Any, Literal

from resilience.replication.config import Config, write_atomic

Kind = Literal["snapshot", "verified", "caught-up"]


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
