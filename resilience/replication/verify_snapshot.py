"""verify-snapshot: whether a vault really holds a snapshot, label and data, read by another principal."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from resilience.errors import UsageError, VaultError
from resilience.replication import label as labels
from resilience.replication import lsn
from resilience.replication.config import Config
from resilience.replication.restic import Repository
from resilience.replication.trace import known_epochs

SUBSET = "10%"


def main(config: Config, vault: str | None, snapshot: str | None) -> dict[str, Any]:
    """Look at the label, its signature, restic's list, a part of the data, and read one folder back."""
    spec = next((v for v in config.vaults if v.name == vault), None)
    if spec is None:
        raise UsageError(
            f"There is no vault {vault}.", "verify-snapshot looks at one.", "Give --vault with a configured name."
        )
    opened = config.open((spec.name,))
    groups = labels.find(opened, known_epochs(config, opened), config.verify)
    found = next(([label] for group in groups for label in group if snapshot in {None, label.snapshot}), [])
    if not found:
        raise VaultError(
            f"{spec.name} holds no label for {snapshot or 'any snapshot'} that can be believed.",
            "It is absent, altered, or signed by nobody the operator named.",
            "Take a new snapshot; this one protects nothing.",
        )
    label = found[0]
    repository = Repository(config.paths.restic, spec, label.repository)
    if label.snapshot not in repository.snapshots():
        raise VaultError(
            f"{spec.name} has a label for {label.snapshot}, and no such snapshot.",
            "It was removed, or never finished.",
            "Take a new snapshot; this one protects nothing.",
        )
    repository.check(SUBSET)
    with tempfile.TemporaryDirectory() as folder:
        repository.restore(label.snapshot, f"{label.path}/global", Path(folder))
        files = sum(1 for path in Path(folder).rglob("*") if path.is_file())
    told = {**labels.describe(label), "needs_from": lsn.show(label.needs_from), "at": label.at}
    return {"ok": files > 0, "files": files, "subset": SUBSET, **told}
