"""init-repo: the epoch's restic repository in each vault, made with the operator's credentials."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from resilience.replication import layout
from resilience.replication.config import Config, VaultConfig
from resilience.replication.restic import Repository


def main(config: Config) -> dict[str, Any]:
    """Make what is absent; which vaults had none."""

    def make(vault: VaultConfig) -> bool:
        return Repository(config.paths.restic, vault, layout.repository(config.record.number)).init()

    chosen = [v for v in config.vaults if v.name in config.record.vaults]
    with ThreadPoolExecutor(max_workers=max(1, len(chosen))) as pool:
        made = dict(zip([v.name for v in chosen], pool.map(make, chosen), strict=True))
    return {"repositories": made, "folder": layout.repository(config.record.number)}
