"""What the fleet file says of replication, as ship and Postgres on a host are told it."""

from __future__ import annotations

from typing import Any

from resilience.model import Replication


def for_ship(rules: Replication) -> dict[str, Any]:
    """Keys of the configuration of ship and its companions."""
    return {
        "spacing_ms": rules.spacing_ms,
        "lease_s": rules.lease_s,
        "durability": rules.durability,
        "too_few_vaults": rules.too_few_vaults,
        "backlog_mb": rules.backlog_mb,
        "past_backlog": rules.past_backlog,
    }


def for_postgres(rules: Replication) -> str:
    """Settings: what a commit waits for unless its transaction asks for more, and what WAL is kept for a dead ship."""
    waits = "on" if rules.durability == "quorum" else "local"
    lines = (
        "synchronous_standby_names = 'ship'",
        f"synchronous_commit = {waits}",
        f"max_slot_wal_keep_size = {2 * rules.backlog_mb}MB",
    )
    return "\n".join(lines) + "\n"
