"""read-back, on the primary: which vaults gave back a snapshot, and from where on it leads, so that ship knows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from resilience.errors import UsageError
from resilience.replication import lsn, notes
from resilience.replication.config import Config


def main(config: Config, vaults: Sequence[str] | None, begin: str | None, at: str | None) -> dict[str, Any]:
    """Keep what the operator's machine found: `verify-snapshot` read a snapshot from `begin`, taken `at`, in these vaults."""
    named, taken = vaults or (), None
    with suppress(ValueError):
        taken = float(at or "")
    if not named or not set(named) <= set(config.record.vaults) or begin is None or taken is None:
        raise UsageError(
            f"No vault of epoch {config.record.number} is said to have given back a snapshot.",
            f"They are: {', '.join(config.record.vaults)}; a snapshot has a position and a time.",
            "Give --vaults, and --from and --at as verify-snapshot tells them.",
        )
    told = {
        "at": min(taken, time.time()),  # a standby's clock may run ahead
        "nonce": config.record.nonce,
        "start_lsn": lsn.show(lsn.parse(begin)),
        "vaults": sorted(named),
    }
    notes.keep(config, "read-back", told)
    return told


def leads_past(config: Config, position: int) -> bool:
    """Whether k vaults gave back a snapshot from there or later under this epoch: until it was read a copy proves nothing."""
    told = notes.read(config, "read-back")
    if told is None or told["nonce"] != config.record.nonce:
        return False
    return lsn.parse(told["start_lsn"]) >= position and len(told["vaults"]) >= config.record.k


def newest(config: Config) -> dict[str, Any] | None:
    """The newest snapshot that this host knows of: its own once it is labelled, a standby's once a vault gave it back."""
    told = (notes.read(config, kind) for kind in ("snapshot", "read-back"))
    return max((facts for facts in told if facts is not None), key=lambda facts: float(facts["at"]), default=None)
