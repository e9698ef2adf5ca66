"""Which vaults of a set were never given what was there before they came: told by the vaults, on any machine."""

from __future__ import annotations

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.model import EpochRecord
from resilience.replication import epoch as epochs
from resilience.replication import filled, layout, seals
from tests.unit.test_epoch import CHECK, OPERATOR, Dead

SETS = {
    1: ("acorn", "birch"),
    2: ("acorn", "birch", "cedar"),
    3: ("birch", "cedar", "elm"),
    4: ("birch", "cedar", "elm"),
}
SIGN = seals.signer(OPERATOR)


def record(number: int) -> EpochRecord:
    """One epoch after another, each with its vault set."""
    return epochs.make_record(
        number=number,
        site="site",
        nonce=f"n{number}",
        parent=number - 1,
        vaults=SETS[number],
        k=2,
        s=2,
        sealed_at=1.0,
        signer="key",
        sign=SIGN,
    )


@pytest.fixture
def vaults() -> dict[str, MemoryVault]:
    """All vaults, each of which shows every epoch."""
    made = {name: MemoryVault(name) for name in ("acorn", "birch", "cedar", "elm")}
    for vault in made.values():
        for number in SETS:
            vault.put_new(layout.epoch(number), epochs.encode(record(number)))
    return made


def lacking(vaults: dict[str, MemoryVault], *locked: str, number: int = 4) -> set[str]:
    """Vaults that are still to be filled."""
    return set(filled.lacking(vaults, record(number), CHECK, frozenset(locked)))


def test_who_came_later_is_to_be_filled(vaults: dict[str, MemoryVault]) -> None:
    """Birch was there on the first day; cedar and elm came since, and epochs in which each stayed change nothing."""
    assert lacking(vaults) == {"cedar", "elm"}
    filled.leave(vaults["cedar"], record(2), SIGN)
    assert lacking(vaults) == {"elm"}
    filled.leave(vaults["elm"], record(4), SIGN)
    assert lacking(vaults) == set()


def test_who_left_and_came_back_is_to_be_filled_again(vaults: dict[str, MemoryVault]) -> None:
    """What was said before it left tells nothing of what was put meanwhile."""
    back = epochs.make_record(
        number=5, site="site", nonce="n5", parent=4, vaults=("acorn", "birch"), k=2, s=2, sealed_at=1.0, signer="key", sign=SIGN
    )  # fmt: skip
    filled.leave(vaults["acorn"], record(2), SIGN)
    assert filled.lacking(vaults, back, CHECK, frozenset()) == {"acorn"}


def test_only_the_operators_word_for_this_vault_and_epoch_counts(vaults: dict[str, MemoryVault]) -> None:
    """Another vault's is no word for this one; nor is anything that is not signed, or of another epoch of that number."""
    filled.leave(vaults["cedar"], record(4), SIGN)
    said = vaults["cedar"].get(layout.filled(4))
    assert said is not None
    vaults["elm"].put_new(layout.filled(4), said)
    assert lacking(vaults) == {"elm"}
    vaults["elm"].put_new(layout.filled(3), b"{}")
    assert lacking(vaults) == {"elm"}


def test_of_a_silent_vault_nothing_is_known(vaults: dict[str, MemoryVault]) -> None:
    """It can be given nothing now."""
    asked = {**vaults, "elm": Dead("elm")}
    assert lacking(asked) == {"cedar"}


def test_where_no_vault_shows_an_epoch_any_more_all_are_filled(vaults: dict[str, MemoryVault]) -> None:
    """Who was in its set is not known, and what a vault has it is not given again."""
    for vault in vaults.values():
        vault.delete(layout.epoch(2))
    assert lacking(vaults) == {"birch", "cedar", "elm"}


def test_who_kept_payloads_alone_is_to_be_filled_once_it_keeps_whole_pictures(vaults: dict[str, MemoryVault]) -> None:
    """Acorn is locked: two others keep headers in the second epoch's set, and one does in a smaller one."""
    smaller = epochs.make_record(
        number=3, site="site", nonce="m3", parent=2, vaults=("acorn", "birch"), k=2, s=2, sealed_at=1.0, signer="key", sign=SIGN
    )  # fmt: skip
    assert filled.lacking(vaults, smaller, CHECK, frozenset()) == set()
    assert filled.lacking(vaults, smaller, CHECK, frozenset({"acorn"})) == {"acorn"}
