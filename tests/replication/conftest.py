"""Stores shared by all tests here; each test gets buckets and hosts of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.replication.harness import Fleet, Site, site_folder
from tests.vault_servers import Store, fake_gcs, make_bucket, seaweed

NUMBERS = count(1)


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Store]]:
    """One real store of each kind."""
    folder: Path = tmp_path_factory.mktemp("stores")
    with seaweed(folder / "s3") as s3, fake_gcs(folder / "gcs") as gcs:
        yield {"s3": s3, "gcs": gcs}


@pytest.fixture
def fleet(stores: dict[str, Store]) -> Fleet:
    """Three empty vaults: two S3, one GCS."""
    number = next(NUMBERS)
    kinds = {"birch": "gcs", "cedar": "s3", "elm": "s3"}
    made = {name: make_bucket(stores[kind], f"{name}{number}") for name, kind in kinds.items()}
    return Fleet({name: (stores[kinds[name]], replace(spec, name=name)) for name, spec in made.items()})


@pytest.fixture
def sites(fleet: Fleet) -> Iterator[Callable[..., Site]]:
    """Makes hosts; stops whatever runs there afterwards."""
    made: list[Site] = []
    with site_folder() as folder:

        def make(name: str, **changes: Any) -> Site:
            site = Site(folder, name, fleet, changes.pop("record", None) or fleet.seal(name))
            made.append(site)
            return site

        yield make
        for site in made:
            site.end()
