"""Ten lives of a primary under random faults, one after another; `scripts/bench soak` goes on from there."""

from __future__ import annotations

import pytest

from tests.replication.chaos import Lineage, proxied
from tests.replication.conftest import buckets
from tests.replication.harness import site_folder
from tests.vault_servers import Store


@pytest.mark.timeout(1500)
def test_ten_seeds(stores: dict[str, Store]) -> None:
    """Whatever happened to ship, Postgres, restic and the vaults: no acknowledged quorum commit is missing."""
    with proxied(buckets(stores)) as (fleet, proxies), site_folder() as folder:
        lineage = Lineage(folder, fleet, proxies)
        try:
            for seed in range(1, 11):
                assert lineage.live(seed) > 20 * seed
        finally:
            print(lineage.told)  # noqa: T201 - pytest shows it when it fails
            lineage.end()
