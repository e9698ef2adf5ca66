"""init-repo: the epoch's restic repository in each vault, the site's or the standbys', made with the operator's credentials."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from resilience.replication import layout
from resilience.replication.config import Config, VaultConfig
from resilience.replication.restic import Repository


def main(config: Config, standby: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002
    """Make what is absent; which vaults had none."""
    number = config.record.number
    folder = layout.standby_repository(number) if standby else layout.repository(number)

    def make(vault: VaultConfig) -> bool:
        return Repository(config.paths.restic, vault, folder).init()

    chosen = [v for v in config.vaults if v.name in config.record.vaults]
    with ThreadPoolExecutor(max_workers=max(1, len(chosen))) as pool:
        made = dict(zip([v.name for v in chosen], pool.map(make, chosen), strict=True))
    return {"repositories": made, "folder": folder}
