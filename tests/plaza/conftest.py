"""One Postgres for all tests here; each test or file gets a plaza of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest

from resilience.adapters import plaza_client
from tests.plaza.harness import Postgres, Site, migrated, running_postgres

NUMBERS = count(1)


@pytest.fixture(scope="module", autouse=True)
def patient_users() -> Iterator[None]:
    """A drill's users give a site up after seconds; a busy machine takes longer now and then."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TIMEOUT", "IN_LINE"):
            patch.setattr(plaza_client, name, httpx.Timeout(120))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real Postgres 15."""
    with running_postgres() as found:
        yield found


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A database that has been migrated and not been used."""
    return migrated(postgres)


@pytest.fixture(scope="module")
def plaza(postgres: Postgres, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A plaza that all tests of a file share, each with people of its own."""
    site = Site(tmp_path_factory.mktemp("plaza"), postgres, postgres.new_database(template))
    site.start()
    yield site
    site.end()


@pytest.fixture
def sites(postgres: Postgres, template: str, tmp_path: Path) -> Iterator[Callable[[], Site]]:
    """Makes plazas for one test alone, not started yet."""
    made: list[Site] = []

    def make() -> Site:
        site = Site(tmp_path / f"site{len(made)}", postgres, postgres.new_database(template))
        made.append(site)
        return site

    yield make
    for site in made:
        site.end()


@pytest.fixture
def name() -> str:
    """A username that no other test has."""
    return f"person{next(NUMBERS)}"
