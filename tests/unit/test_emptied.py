"""A vault that showed the epoch and does not any more."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import ResilienceError, VaultError
from resilience.replication import emptied, epoch, layout, seals
from resilience.replication.emptied import SURE, Emptied

KEY = Ed25519PrivateKey.generate()
OWN = layout.epoch(1)


def check(payload: bytes, signature: str) -> bool:
    """Whether the operator signed."""
    return seals.verify(seals.public_hex(KEY), payload, signature)


RECORD = epoch.make_record(
    number=1,
    site="acorn",
    nonce="n",
    parent=0,
    vaults=("elm",),
    k=1,
    s=1,
    sealed_at=0.0,
    signer="",
    sign=seals.signer(KEY),
)


class Counting(MemoryVault):
    """Counts how often it is asked."""

    asked = 0

    def get(self, key: str) -> bytes | None:
        """What lies there."""
        self.asked += 1
        return super().get(key)


@pytest.fixture
def elm() -> Counting:
    """A vault in which the epoch was sealed."""
    made = Counting("elm")
    made.put_new(OWN, epoch.encode(RECORD))
    return made


def looks(told: Emptied, elm: Counting, times: int) -> None:
    """Ship looks so often."""
    for _ in range(times):
        told.look(elm)


def test_it_is_asked_once_a_minute(elm: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often ship looks for a newer epoch."""
    at = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: at[0])
    told = Emptied(RECORD, check)
    for at[0] in range(121):
        told.look(elm)
    assert elm.asked == 3


def test_it_is_emptied_once_it_is_sure_and_no_more_once_the_epoch_is_there_again(elm: Counting) -> None:
    """Not after one odd answer; each time that it happens is counted."""
    emptied_now, told = frozenset({"elm"}), Emptied(RECORD, check)
    told.shows(elm)
    for times in (1, 2):
        elm.delete(OWN)
        assert not told.shows(elm)
        looks(told, elm, SURE - 2)
        assert (told.names, told.times("elm")) == (frozenset(), times - 1)
        looks(told, elm, SURE)
        assert (told.names, told.times("elm")) == (emptied_now, times)
        elm.put_new(OWN, epoch.encode(RECORD))
        told.look(elm)
        assert told.names == frozenset()
    elm.delete(OWN)
    told.shows(elm)
    elm.put_new(OWN, epoch.encode(RECORD))
    looks(told, elm, 1)
    assert (told.names, told.times("elm")) == (frozenset(), 2), "one odd answer"


def test_one_that_never_showed_it_was_silent_when_it_was_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lacks nothing for that."""
    monkeypatch.setattr(emptied, "EVERY", 0.0)
    elm, told = Counting("elm"), Emptied(RECORD, check)
    looks(told, elm, 2 * SURE)
    assert (elm.asked, told.names) == (2 * SURE, frozenset())


def test_a_ship_that_begins_after_it_knows_until_the_vault_is_left_behind(elm: Counting, tmp_path: Path) -> None:
    """What it lacks is noted elsewhere then; until then a note says that it was emptied, whatever was put there again."""
    notes = tmp_path / "emptied"
    elm.delete(OWN)
    Emptied(RECORD, check, notes).tell("elm")
    for _ in range(2):
        begun = Emptied(RECORD, check, notes)
        assert begun.names == {"elm"}
        assert not begun.shows(elm)
        begun.tell("elm")
        assert (begun.names, begun.times("elm")) == (frozenset({"elm"}), 1)
    begun.left("elm")
    assert begun.names == {"elm"}, "until the epoch is there again"
    assert Emptied(RECORD, check, notes).names == frozenset()


def test_a_ship_that_begins_after_it_knows_until_the_epoch_is_there_again(elm: Counting, tmp_path: Path) -> None:
    """Also where it was found by what it no longer shows."""
    notes = tmp_path / "emptied"
    told = Emptied(RECORD, check, notes)
    told.shows(elm)
    elm.delete(OWN)
    told.shows(elm)
    looks(told, elm, SURE)
    begun = Emptied(RECORD, check, notes)
    assert begun.names == {"elm"}
    elm.put_new(OWN, epoch.encode(RECORD))
    begun.look(elm)
    assert (begun.names, Emptied(RECORD, check, notes).names) == (frozenset(), frozenset())


def test_what_cannot_be_noted_is_found_again_at_the_next_look(elm: Counting, tmp_path: Path) -> None:
    """Nothing is put again before it is noted."""
    (tmp_path / "full").touch()
    told = Emptied(RECORD, check, tmp_path / "full")
    with pytest.raises(ResilienceError, match="spool cannot be used"):
        told.tell("elm")
    assert (told.names, told.times("elm")) == (frozenset(), 0)


def test_one_whose_epoch_cannot_be_read_is_asked_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not known whether it shows it; that it does not answer so is no reason to ask at each look."""
    at, altered = [0.0], Counting("elm")
    monkeypatch.setattr("time.monotonic", lambda: at[0])
    altered.put_new(OWN, b"altered")
    told, failed = Emptied(RECORD, check), 0
    for at[0] in range(121):
        try:
            told.look(altered)
        except VaultError:
            failed += 1
    assert (altered.asked, failed, told.names) == (3, 3, frozenset())
