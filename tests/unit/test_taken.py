"""An epoch that is opened: what a thief put under its names beforehand, and what its own site wrote."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import Refused, ResilienceError, TooFewVaults
from resilience.replication import chunk, layout, reput, restore, seals
from resilience.replication.config import Record
from resilience.replication.taken import refuse_taken
from tests.unit.test_epoch import CHECK, SET, Dead
from tests.unit.test_fetch_ledger import SITE, record

THIEF = Ed25519PrivateKey.generate()
RECORD = record(2)
START = chunk.Start(2, "n2", 9, 2, "7", "", 1.0)
OPENING = chunk.Opening(2, "n2", 1, 9, 9, 1, "7", 1.0)
NAMES = [layout.first(2), layout.life(2, 1), layout.chunk(2, 9), layout.opening(2)]


@pytest.fixture
def vaults() -> dict[str, Any]:
    """Three vaults that have nothing of epoch 2."""
    return {name: MemoryVault(name) for name in SET}


def written(key: Ed25519PrivateKey) -> dict[str, bytes]:
    """A start record and a chunk of epoch 2, by whoever has this key."""
    sign = seals.signer(key)
    body = b"sealed"
    header = chunk.Header(2, "n2", "birch", 2, "7", 9, 10, 9, 1.0, hashlib.sha256(body).hexdigest())
    return {
        layout.first(2): chunk.encode_start(START, sign),
        layout.chunk(2, 9): chunk.encode(header, body, sign),
    }


@pytest.mark.parametrize("key", NAMES)
def test_junk_in_one_vault_stops_nobody(vaults: dict[str, Any], key: str) -> None:
    """K others can take the epoch, whichever of its names is taken there; in all of them it can't be opened, and why is said."""
    vaults["elm"].put_new(key, b"junk")
    refuse_taken(vaults, RECORD)
    vaults["cedar"].put_new(key, b"junk")
    with pytest.raises(Refused, match=r"under its names in cedar, elm") as told:
        refuse_taken(vaults, RECORD)
    assert "seals the next epoch" in told.value.next
    assert layout.wal(2) in told.value.next
    refuse_taken(vaults, record(3))
    vaults["cedar"].delete(key)
    refuse_taken(vaults, RECORD)


@pytest.mark.parametrize("key", [layout.first(2), layout.chunk(2, 9)])
def test_what_its_own_site_wrote_is_never_dropped(vaults: dict[str, Any], key: str) -> None:
    """A chunk is enough, where the start record was spoilt; what another key signed is not. A silent vault stops nothing."""
    vaults["elm"].put_new(key, written(THIEF)[key])
    refuse_taken(vaults, RECORD)
    vaults["cedar"].put_new(key, written(SITE)[key])
    vaults["cedar"].put_new(layout.first(2), b"spoilt")
    with pytest.raises(Refused, match="already been written under"):
        refuse_taken(vaults, RECORD)
    refuse_taken({**vaults, "cedar": Dead("cedar")}, RECORD)


def test_an_earlier_runs_opening_is_gone_on_from(vaults: dict[str, Any]) -> None:
    """It is signed by the epoch's site, and says nothing of WAL."""
    for vault in vaults.values():
        vault.put_new(layout.opening(2), chunk.encode_opening(OPENING, seals.signer(SITE)))
    refuse_taken(vaults, RECORD)


def test_an_opening_record_that_cannot_be_put_counts_for_nothing(vaults: dict[str, Any]) -> None:
    """One vault has something else in its place: two others are enough; with one left it is said where what is in the way."""
    config: Any = SimpleNamespace(record=RECORD, verify=CHECK, sign=lambda: seals.signer(SITE))
    vaults["elm"].put_new(layout.opening(2), b"junk")
    reput.put_opening(config, vaults, vaults, OPENING)
    assert vaults["birch"].exists(layout.opening(2))
    vaults["cedar"].objects[layout.opening(2)] = b"junk"
    with pytest.raises(TooFewVaults, match=f"cedar: {layout.opening(2)} is nothing that this epoch's site signed"):
        reput.put_opening(config, vaults, vaults, OPENING)


def test_a_restore_looks_before_it_brings_anything(vaults: dict[str, Any], tmp_path: Path) -> None:
    """With k vaults free it goes on, here until it finds no snapshot; with fewer it says what is in the way. The next epoch's are free."""

    def restored_under(number: int) -> str:
        config: Any = SimpleNamespace(
            record=record(number),
            epoch=Record(**asdict(record(number))),
            parent_epochs=[Record(**asdict(record(n))) for n in range(1, number)],
            verify=CHECK,
            paths=SimpleNamespace(pg=tmp_path / "pg"),
            open=lambda: vaults,
            labelled=lambda asked: asked,
        )
        with pytest.raises(ResilienceError) as told:
            restore._restore(config, None)
        return type(told.value).__name__

    vaults["elm"].put_new(layout.first(2), b"junk")
    assert restored_under(2) == "NoSnapshot"
    vaults["cedar"].put_new(layout.life(2, 1), b"junk")
    assert restored_under(2) == "Refused"
    assert restored_under(3) == "NoSnapshot"
    assert not (tmp_path / "pg").exists()
