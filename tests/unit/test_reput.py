"""Putting again: a vault counts for what it has, not for what it says is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import TooFewVaults
from resilience.replication import chunk, layout, seals
from resilience.replication.chunk import Start
from resilience.replication.reput import put_again
from tests.replication.test_gather import BASE, World

CONFIG: Any = SimpleNamespace(record=SimpleNamespace(k=2))


class Stale(MemoryVault):
    """A vault whose listing does not name yet what somebody put lately."""

    def list(self, prefix: str) -> list[str]:
        """Nothing of it."""
        return []


@pytest.fixture
def world() -> Iterator[World]:
    """A site that put three chunks into all its vaults."""
    with TemporaryDirectory() as folder:
        made = World(Path(folder))
        made.vaults["elm"] = Stale("elm")
        made.ship([100, 200, 300])
        yield made


def again(world: World, records: dict[str, bytes]) -> None:
    """What a restore puts once it read the chain, while the third vault takes nothing."""
    chain, gathered, _ = world.walk()
    gathered.records.update(records)
    writers = {name: world.vaults[name] for name in ("birch", "elm")}
    put_again(CONFIG, writers, world.vaults, [(gathered, chain)])


def test_what_is_there_as_it_was_put_counts(world: World) -> None:
    """Its listing did not name it: it is put again, found there, and good."""
    again(world, {})


def test_something_else_in_a_chunks_place_is_no_copy(world: World) -> None:
    """No listing named it, so nobody read it before: the create is refused, and the vault has a hole."""
    world.vaults["elm"].objects[layout.chunk(1, BASE + 100)] = b"junk"
    with pytest.raises(TooFewVaults, match="Only 1 of the 2") as told:
        again(world, {})
    assert layout.chunk(1, BASE + 100) in told.value.why


def test_something_else_in_a_records_place_is_no_copy(world: World) -> None:
    """A start record that nobody signed, where the others have a good one; another that the site signed counts."""
    start = Start(1, "nonce", BASE, 1, "42", "", 1.0)
    good = {layout.first(1): chunk.encode_start(start, seals.signer(world.key))}
    world.vaults["elm"].objects |= {
        key: chunk.encode_start(replace(start, at=2.0), seals.signer(world.key)) for key in good
    }
    again(world, good)
    world.vaults["elm"].objects |= dict.fromkeys(good, b"junk")
    with pytest.raises(TooFewVaults, match="Only 1 of the 2") as told:
        again(world, good)
    assert layout.first(1) in told.value.why
