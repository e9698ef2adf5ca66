"""Stores shared by all tests here; each test gets buckets and hosts of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from resilience.model import VaultSpec
from tests.replication.harness import Fleet, Site, site_folder
from tests.vault_servers import Store, fake_gcs, make_bucket, make_locked_bucket, seaweed

NUMBERS = count(1)


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Store]]:
    """One real store of each kind."""
    folder: Path = tmp_path_factory.mktemp("stores")
    with seaweed(folder / "s3") as s3, fake_gcs(folder / "gcs") as gcs:
        yield {"s3": s3, "gcs": gcs}


HALF = 100
"""Of the rows of `history`."""
KINDS = {"birch": "gcs", "cedar": "s3", "elm": "s3"}


def buckets(stores: dict[str, Store]) -> dict[str, tuple[Store, VaultSpec]]:
    """Three empty vaults: two S3, one GCS."""
    number = next(NUMBERS)
    made = {name: make_bucket(stores[kind], f"{name}{number}") for name, kind in KINDS.items()}
    return {name: (stores[KINDS[name]], replace(spec, name=name)) for name, spec in made.items()}


@pytest.fixture
def fleet(stores: dict[str, Store]) -> Fleet:
    """Three empty vaults."""
    return Fleet(buckets(stores))


@pytest.fixture
def locked(stores: dict[str, Store]) -> Fleet:
    """Three empty vaults; elm's bucket lets nobody remove a version for a day."""
    made, spec = buckets(stores), make_locked_bucket(stores["s3"], f"locked{next(NUMBERS)}")
    return Fleet({**made, "elm": (stores["s3"], replace(spec, name="elm"))})


@pytest.fixture
def sites() -> Iterator[Callable[..., Site]]:
    """Makes hosts; stops whatever runs there afterwards."""
    made: list[Site] = []
    with site_folder() as folder:

        def make(fleet: Fleet, name: str, *, standby: bool = False) -> Site:
            site = Site(folder, name, fleet, fleet.records[-1] if standby else fleet.seal(name))
            made.append(site)
            return site

        try:
            yield make
        finally:
            for site in made:
                site.end()


@pytest.fixture(scope="session")
def history(stores: dict[str, Store]) -> Fleet:
    """What a lost primary left in three vaults: a snapshot, and 200 rows in many chunks after it, each acknowledged by two vaults."""
    fleet = Fleet(buckets(stores), durability="quorum")
    with site_folder() as folder:
        acorn = Site(folder, "acorn", fleet, fleet.seal("acorn"))
        try:
            acorn.begin()
            acorn.ask_for_quorum()
            for first in range(1, 200, 20):
                acorn.insert(first, first + 19)
                position = acorn.wait_everywhere()
                if first + 19 == HALF:
                    fleet.half = time.time(), position
            acorn.kill_postgres()
        finally:
            acorn.end()
    fleet.durability = "async"  # how the next site writes is for each test to say
    return fleet


@pytest.fixture
def lost(stores: dict[str, Store], history: Fleet) -> Fleet:
    """The lost primary's vaults, for one test to break."""
    return history.copy(buckets(stores))
