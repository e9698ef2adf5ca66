"""Whose vaults are asked for what was taken down: back to an epoch whose own ledger holds all that came before."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import TooFewVaults
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import anchors, layout, seals
from resilience.replication import epoch as epochs
from tests.unit.test_epoch import CHECK, OPERATOR, Dead

SETS = {1: ("acorn", "birch", "cedar"), 2: ("birch", "cedar", "dogwood"), 3: ("cedar", "dogwood", "elm")}
LEFT = ("cedar", "dogwood", "elm")


def record(number: int, site: str = "") -> EpochRecord:
    """An epoch with its own vault set, for another site each where none is named."""
    return epochs.make_record(
        number=number,
        site=site or f"site{number}",
        nonce=f"n{number}",
        parent=number - 1,
        vaults=SETS[number],
        k=2,
        s=2,
        sealed_at=1.0,
        signer=site or f"key{number}",
        sign=seals.signer(OPERATOR),
    )


class World:
    """Five entries of epoch 1 in all of its vaults, and a sixth, acknowledged, in those that are lost by now."""

    def __init__(self, *sites: str) -> None:
        self.vaults = {name: MemoryVault(name) for name in ("acorn", "birch", "cedar", "dogwood", "elm")}
        self.records = {number: record(number, sites[number - 1] if sites else "") for number in SETS}
        for number, names in SETS.items():
            self.put(layout.epoch(number), *names, data=epochs.encode(self.records[number]))
        self.enter(1, 1, 2, 3, 4, 5)
        self.put(layout.ledger(1, 6), "acorn", "birch")

    def put(self, key: str, *names: str, data: bytes = b"entry") -> None:
        """One object into these vaults."""
        for name in names:
            self.vaults[name].put_new(key, data)

    def enter(self, epoch: int, *numbers: int) -> None:
        """Entries under an epoch, in all of its vaults."""
        for seq in numbers:
            self.put(layout.ledger(epoch, seq), *SETS[epoch])

    @property
    def left(self) -> Mapping[str, Vault]:
        """Vaults of whose vendors nobody lost an account."""
        return {name: self.vaults[name] for name in LEFT}

    def anchor(self, number: int, entries: int) -> None:
        """The operator says how many entries came before."""
        anchors.leave(self.vaults, self.records[number], entries, seals.signer(OPERATOR), CHECK)

    def doubt(self, newest: int = 2) -> str:
        """What is said of the ledger that is read from the vaults that are left."""
        keys = [key for vault in self.left.values() for key in vault.list(layout.LEDGER)]
        return anchors.too_few(anchors.to_ask(self.left, keys, newest, CHECK), self.left)


def test_an_epoch_whose_app_never_handed_the_ledger_over_holds_nothing() -> None:
    """Its own vaults are there, and those that hold the sixth entry are not."""
    assert (
        World().doubt()
        == "1 vaults of epoch 1 list the ledger, and an entry that 2 of acorn, birch, cedar hold could be missed"
    )


@pytest.mark.parametrize(
    ("handed", "doubted"), [((1, 2, 3), True), ((1, 2, 3, 4, 5), True), ((1, 2, 3, 4, 5, 6), False)]
)
def test_it_is_known_to_hold_all_once_it_lists_as_much_as_the_operator_said(
    handed: tuple[int, ...],
    doubted: bool,  # noqa: FBT001
) -> None:
    """A part of them, or all but the last one, could end there for any reason."""
    world = World()
    world.anchor(2, 6)
    world.enter(2, *handed)
    assert bool(world.doubt()) is doubted


def test_without_the_operator_s_word_nothing_is_known() -> None:
    """However many it lists, nobody says that there were no more."""
    world = World()
    world.enter(2, 1, 2, 3, 4, 5, 6)
    assert world.doubt()
    assert world.doubt(newest=3)


@pytest.mark.parametrize("word", [b"junk", b'{"format":"resilience-anchor/1","number":2,"nonce":"n2","entries":0}'])
def test_a_word_that_is_not_the_operator_s_is_none(word: bytes) -> None:
    """Nor is one that was said of another epoch of this number."""
    world = World()
    world.put(layout.anchor(2), *SETS[2], data=word)
    assert world.doubt()
    of_another = World()
    other = epochs.make_record(
        number=2,
        site="site2",
        nonce="other",
        parent=1,
        vaults=SETS[2],
        k=2,
        s=2,
        sealed_at=1.0,
        signer="key2",
        sign=seals.signer(OPERATOR),
    )
    anchors.leave(of_another.vaults, other, 0, seals.signer(OPERATOR), CHECK)
    assert of_another.doubt()


def test_another_vault_set_of_the_same_host() -> None:
    """Its entries keep the number with which it began: the new vaults were given them, or they hold nothing."""
    world = World("acorn", "acorn", "elm")
    world.anchor(2, 6)
    assert world.doubt()
    world.put(layout.ledger(1, 6), "cedar", "dogwood")
    assert world.doubt() == ""


def test_an_epoch_that_no_vault_shows_could_hold_anything() -> None:
    """A vault that joined later was never given its record."""
    world = World()
    for vault in world.vaults.values():
        vault.objects.pop(layout.epoch(1), None)
    assert world.doubt() == "no vault that answers shows epoch 1, so it is not known where its entries lie"


def test_the_word_must_lie_where_every_later_reader_looks() -> None:
    """In k vaults of the epoch, or the site is not opened; what is there already is enough."""
    world = World()
    world.vaults["birch"] = Dead("birch")
    world.anchor(2, 6)
    world.anchor(2, 7)
    assert anchors.read(world.left, world.records[2], CHECK) == 6
    world.vaults["cedar"] = Dead("cedar")
    with pytest.raises(TooFewVaults, match="Only 1 of birch, cedar, dogwood"):
        world.anchor(2, 6)


def test_what_somebody_put_under_its_name_is_no_word() -> None:
    """It would be believed to be there, and no reader would find it."""
    world = World()
    world.put(layout.anchor(2), "birch", "cedar", data=b"junk")
    with pytest.raises(TooFewVaults, match="Only 1 of birch, cedar, dogwood") as told:
        world.anchor(2, 6)
    assert "birch: something else lies there" in told.value.why
    assert "epoch/00000002.ledger" in told.value.next
    for name in ("birch", "cedar"):
        del world.vaults[name].objects[layout.anchor(2)]
    world.anchor(2, 6)
