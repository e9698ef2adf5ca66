"""Ten lives of a primary under random faults, one after another; `scripts/bench soak` goes on from there."""

from __future__ import annotations

import pytest

from tests.replication.chaos import Lineage, proxied
from tests.replication.conftest import buckets
from tests.replication.harness import site_folder
from tests.vault_servers import Store

WITH_STANDBY = frozenset({9})
"""Its takeover spares a cold restore. The soak has a standby in every other seed."""


@pytest.mark.timeout(1500)
def test_ten_seeds(stores: dict[str, Store]) -> None:
    """Whatever happened to ship, Postgres, restic, a standby and the vaults: no acknowledged quorum commit is missing."""
    with proxied(buckets(stores)) as (fleet, proxies), site_folder() as folder:
        lineage = Lineage(folder, fleet, proxies, WITH_STANDBY.__contains__)
        try:
            for seed in range(1, 11):
                assert lineage.live(seed) > 20 * seed
        finally:
            print(lineage.told)  # noqa: T201 - pytest shows it when it fails
            lineage.end()
