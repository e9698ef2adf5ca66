"""A vault that others filled counts once a look since then found no newer epoch there: it may have been sealed, and read, before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import VaultError
from resilience.model import EpochRecord
from resilience.replication import chunk, epoch, layout, seals
from resilience.replication.courier import Courier, start_record
from resilience.replication.lease import Lease
from resilience.replication.spool import Spool


class Cut(MemoryVault):
    """A vault that can be cut off."""

    cut = False

    def get(self, key: str) -> bytes | None:
        """What lies there, while it is reached."""
        if self.cut:
            raise VaultError("elm does not answer.", "The line is cut.", "Wait.")
        return super().get(key)


KEY = Ed25519PrivateKey.generate()
RECORD = EpochRecord(1, "acorn", "n", 0, ("birch", "cedar", "elm"), 2, 2, 0.0, seals.public_hex(KEY))
START = chunk.encode_start(start_record(RECORD, 100, 1, "7", ""), seals.signer(KEY))


def until(what: Callable[[], object]) -> None:
    """Wait for a thread."""
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def elm() -> Cut:
    """A vault that was left behind."""
    return Cut("elm")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Chunks for three vaults."""
    made = Spool(tmp_path, 1, RECORD.vaults)
    made.begin(START)
    made.floor(100)
    return made


@pytest.fixture
def courier(spool: Spool, elm: Cut) -> Iterator[Courier]:
    """Its courier, at work."""
    made = Courier(elm, spool, RECORD, Lease(RECORD, lambda *_: True, None), lambda: None)
    made.start()
    try:
        yield made
    finally:
        made.stop()
        made.join(60)


def test_what_was_caught_up_with_counts_after_a_look(spool: Spool, elm: Cut, courier: Courier) -> None:
    """Cut off since, it counts for no more than before its hole, whoever says that this is filled; then it is asked, and does."""
    spool.add(100, 200, b"one")
    hole = spool.leave("elm")
    spool.add(200, 300, b"two")
    courier.nudge()
    until(lambda: courier.progress.counted == 300)
    elm.cut = True
    assert spool.mend("elm", hole)
    courier.nudge()
    until(lambda: courier.error)
    assert (spool.held()["elm"], spool.hole("elm")) == (100, hole)
    elm.cut = False
    until(lambda: spool.hole("elm") is None)
    assert spool.held()["elm"] == 300


def test_one_that_was_said_to_be_filled_and_shows_no_epoch_takes_chunks_all_the_same(
    spool: Spool, elm: Cut, courier: Courier
) -> None:
    """Nothing piles up for it, it counts for nothing, and its status says why; it counts once the epoch is there."""
    hole = spool.leave("elm", emptied=True)
    assert spool.mend("elm", hole)
    spool.add(100, 200, b"one")
    courier.nudge()
    until(lambda: spool.given("elm") == 200)
    until(lambda: "does not show epoch" in str(courier.error))
    assert (spool.held()["elm"], spool.backlog("elm")) == (100, (0, 0))
    elm.put_new(layout.epoch(1), epoch.encode(RECORD))
    until(lambda: spool.hole("elm") is None)
    assert spool.held()["elm"] == 200


class Full(Cut):
    """Puts nothing."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Refused."""
        raise VaultError(f"elm does not take {key}.", "It is full.", "Make room.")


def courier_of(vault: Cut, spool: Spool) -> Courier:
    """Of a ship that begins where this vault was given all."""
    spool.advance("elm", 200)
    lease = Lease(RECORD, lambda *_: True, None, emptied=spool.emptied_notes)
    return Courier(vault, spool, RECORD, lease, lambda: None)


def test_what_was_emptied_is_noted_before_anything_is_put_there_again(spool: Spool) -> None:
    """A ship that ends in between would hide it for good: the start record would be there again."""
    with pytest.raises(VaultError, match="It is full"):
        courier_of(Full("elm"), spool)._move()
    again = Lease(RECORD, lambda *_: True, None, emptied=spool.emptied_notes)
    assert again.emptied.names == {"elm"}


@pytest.mark.parametrize("altered", [b"altered", None], ids=["altered", "absent"])
def test_a_vault_that_has_the_start_record_is_begun_with(spool: Spool, elm: Cut, altered: bytes | None) -> None:
    """Whatever lies where the epoch was; it is emptied only where the start record is gone as well."""
    elm.put_new(layout.first(1), START)
    if altered is not None:
        elm.put_new(layout.epoch(1), altered)
    courier = courier_of(elm, spool)
    assert courier._move()
    assert courier.progress.begun
    assert not spool.emptied_notes.exists()
