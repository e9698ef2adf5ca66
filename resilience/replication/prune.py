"""prune: what lies before a snapshot that was proven good is removed from one vault, by the operator alone.

Records of epochs are kept for ever, and of every epoch at least the last chunk: only what a newer chunk of the
same epoch makes superfluous goes. Without `--really` nothing is touched, and it says what would go.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import structlog

from resilience.errors import Refused, UsageError, VaultError
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import chunk, layout, lsn
from resilience.replication import label as labels
from resilience.replication.config import Config, VaultConfig
from resilience.replication.forward import Forward
from resilience.replication.label import Label
from resilience.replication.restic import Repository

log = structlog.get_logger()


def main(config: Config, vault: str | None, snapshot: str | None, really: bool) -> dict[str, Any]:  # noqa: FBT001
    """Remove older snapshots, their labels, and WAL that only they need; how much of each."""
    spec = next((v for v in config.vaults if v.name == vault), None)
    if spec is None or snapshot is None:
        raise UsageError("prune takes --vault and --snapshot.", "It works on one vault at a time.", "Give both.")
    opened = config.open((spec.name,))
    known = Forward(config, opened).known
    found = [label for group in labels.find(opened, known, config.verify) for label in group]
    base = next((label for label in found if label.snapshot == snapshot), None)
    if base is None:
        raise VaultError(
            f"{spec.name} holds no label for {snapshot} that can be believed.",
            "What is older may be all that this vault has.",
            "Verify again (`resilience verify`), and prune by what that finds.",
        )
    older = [label for label in found if (label.epoch, label.start) < (base.epoch, base.start)]
    position = lsn.segment_start(base.start, base.segment_size)
    keys = [
        key
        for number in known
        if number <= base.epoch
        for key in _needless(opened[spec.name], known[number], position, base)
    ]
    if really:
        _remove(config, spec, opened[spec.name], older, keys)
    return {
        "vault": spec.name,
        "before": base.start_lsn,
        "snapshots": len(older),
        "chunks": len(keys),
        "removed": really,
    }


def _needless(vault: Vault, epoch: EpochRecord, position: int, base: Label) -> list[str]:
    """Chunks of an epoch that end before the position: a later one begins at or before it, and reaches past it."""
    keys = vault.list(layout.wal(epoch.number))
    starts = sorted(start for key in keys if (start := layout.chunk_start(key)) is not None)
    kept = bisect_right(starts, position) - 1
    if kept < 1:
        return []
    if epoch.number == base.epoch:
        _refuse_gap(vault, epoch, starts[kept], position)
    return [layout.chunk(epoch.number, start) for start in starts[:kept]]


def _refuse_gap(vault: Vault, epoch: EpochRecord, start: int, position: int) -> None:
    """Refused unless the chunk that is kept really holds the position from which the snapshot replays."""
    data = vault.get(layout.chunk(epoch.number, start))
    found = None if data is None else chunk.decode(data, epoch)
    if found is None or found[0].end <= position:
        raise Refused(
            f"{vault.name} has no whole chunk at {lsn.show(position)}, where the snapshot's WAL begins.",
            "With the older ones removed, nothing could be restored from this vault alone.",
            "Verify this vault (`resilience verify --vault NAME`); nothing was removed.",
        )


def _remove(config: Config, spec: VaultConfig, vault: Vault, older: list[Label], keys: list[str]) -> None:
    """Snapshots first, so that whatever stops this leaves no label without its snapshot's WAL."""
    for folder in sorted({label.repository for label in older}):
        mine = [label for label in older if label.repository == folder]
        for label in mine:
            vault.delete(label.key)
        Repository(config.paths.restic, spec, folder).forget([label.snapshot for label in mine])
    for key in keys:
        vault.delete(key)
    log.info("pruned", vault=spec.name, snapshots=len(older), chunks=len(keys))
