"""Filling a vault's hole: it counts for a chunk only where it gives that chunk back."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import VaultError
from resilience.replication import catch_up, chunk, layout, lsn, seals
from tests.unit.test_epoch import SET, Dead
from tests.unit.test_fetch_ledger import IDENTITY, SITE, record

BEGIN = 16 << 20


class Kept(MemoryVault):
    """A vault whose store keeps what was put first."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.firsts: dict[str, bytes] = {}

    def first(self, key: str) -> bytes | None:
        """The oldest version."""
        return self.firsts.get(key)

    def versions_of(self, prefix: str) -> tuple[list[str], frozenset[str]]:
        """What is there, and what somebody wrote over."""
        return self.list(prefix), frozenset(self.firsts)


def whole(begin: int = BEGIN, until: int = BEGIN + 1) -> bytes:
    """A chunk as ship put it."""
    body = chunk.seal_body(b"x", [str(IDENTITY.to_public())])
    sha = hashlib.sha256(body).hexdigest()
    header = chunk.Header(1, "n1", "birch", 1, "7", begin, until, begin, 1.0, sha)
    return chunk.encode(header, body, seals.signer(SITE))


def catch_up_elm(vaults: dict[str, Any], begin: int = BEGIN, until: int = BEGIN + 1) -> int:
    """The command, for a hole of one chunk where nothing else is said; how many were copied."""
    config: Any = SimpleNamespace(
        record=record(1),
        apart=frozenset(),
        open=lambda: vaults,
        open_to_write=lambda names: {name: vaults[name] for name in names},
    )
    return int(catch_up.main(config, "elm", lsn.show(begin), lsn.show(until))["chunks"])


@pytest.fixture
def vaults() -> dict[str, Any]:
    """Two vaults with the chunk, and elm without."""
    found = {name: Kept(name) for name in SET}
    for name in ("birch", "cedar"):
        found[name].put_new(layout.chunk(1, BEGIN), whole())
    return found


def test_a_rotten_chunk_is_no_filled_hole(vaults: dict[str, Any]) -> None:
    """It can't be written over, so this vault may not be told to ship as one that has it; once it is removed, it may."""
    key = layout.chunk(1, BEGIN)
    vaults["elm"].put_new(key, b"rotten")
    with pytest.raises(VaultError, match=f"elm holds something else in place of {key}"):
        catch_up_elm(vaults)
    vaults["elm"].delete(key)
    assert catch_up_elm(vaults) == 1
    assert vaults["elm"].get(key) in {vaults["birch"].get(key), vaults["cedar"].get(key)}
    assert catch_up_elm(vaults) == 0


def test_a_vault_that_is_gone_is_done_without(vaults: dict[str, Any]) -> None:
    """Its vendor left, and the set can't change before elm is whole: all that two vaults were given cedar has. With both gone nobody knows."""
    vaults["cedar"].put_new(layout.ledger(1, 1), b"an entry")
    vaults["birch"] = Dead("birch")
    assert catch_up_elm(vaults) == 1
    assert vaults["elm"].get(layout.ledger(1, 1)) == b"an entry"
    vaults["cedar"] = Dead("cedar")
    with pytest.raises(VaultError, match="could not list"):
        catch_up_elm(vaults)


def test_what_was_put_first_counts(vaults: dict[str, Any]) -> None:
    """Somebody wrote over a chunk where the store keeps versions: readers take the first one, which is whole."""
    key = layout.chunk(1, BEGIN)
    vaults["elm"].put_new(key, b"written over")
    vaults["elm"].firsts = {key: whole()}
    assert catch_up_elm(vaults) == 0


def test_an_entry_is_copied_as_it_was_put(vaults: dict[str, Any]) -> None:
    """Not as somebody wrote over it since."""
    key = layout.ledger(1, 1)
    for name in ("birch", "cedar"):
        vaults[name].objects[key], vaults[name].firsts[key] = b"a thief's", b"as it was put"
    catch_up_elm(vaults)
    assert vaults["elm"].get(key) == b"as it was put"


def test_all_wal_from_where_a_snapshots_begins_is_given_also_within_a_chunk() -> None:
    """What somebody put in between, and does not reach that far, is no beginning."""
    vaults: dict[str, Any] = {name: Kept(name) for name in SET}
    for begin, until in ((BEGIN, BEGIN + 8), (BEGIN + 8, BEGIN + 16), (BEGIN + 16, BEGIN + 24)):
        vaults["birch"].put_new(layout.chunk(1, begin), whole(begin, until))
    vaults["cedar"].put_new(layout.chunk(1, BEGIN + 10), whole(BEGIN + 10, BEGIN + 11))
    assert catch_up_elm(vaults, BEGIN + 12, BEGIN + 24) == 3
    assert {layout.chunk(1, begin) for begin in (BEGIN + 8, BEGIN + 16)} <= vaults["elm"].objects.keys()
