"""Which entries of the ledger count, when somebody with ship's credentials put some under epochs to come."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import VaultError
from resilience.model import EpochRecord
from resilience.replication import anchors, chunk, fetch_ledger, layout, seals
from resilience.replication import epoch as epochs
from resilience.replication.seals import Verify
from resilience.simulation import SimulatedGround, SimulatedUsers
from tests.replication.test_gather import Versioned
from tests.sim.stage import day_one
from tests.unit.test_epoch import CHECK, OPERATOR, SET, Dead

SITE = Ed25519PrivateKey.generate()
IDENTITY = pyrage.x25519.Identity.generate()


def record(number: int, site: str = "", vaults: tuple[str, ...] = SET, k: int = 2) -> EpochRecord:
    """An epoch that the operator sealed, each for another site where none is named."""
    return epochs.make_record(
        number=number,
        site=site or f"site{number}",
        nonce=f"n{number}",
        parent=number - 1,
        vaults=vaults,
        k=k,
        s=k,
        sealed_at=1.0,
        signer=seals.public_hex(SITE),
        sign=seals.signer(OPERATOR),
    )


class World:
    """Three vaults with five entries of epoch 1; epoch 2 is sealed and opened for nobody, epoch 3 is being opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger_check: Verify | None = None
        """By which key the app signs; where nobody says, whatever opens is an entry."""
        self.sites: dict[int, str] = {}
        self.sets: dict[int, tuple[str, ...]] = {}
        self.k = 2
        self.vaults = {name: MemoryVault(name) for name in SET}
        for number in (1, 2, 3):
            self.put(layout.epoch(number), epochs.encode(record(number)))
        self.enter(1, 1, 2, 3, 4, 5)

    def continue_with(self, number: int) -> None:
        """This epoch changes the vault set of the one before, and the same host goes on."""
        self.sites[number] = f"site{number - 1}"
        for vault in self.vaults.values():
            vault.objects[layout.epoch(number)] = epochs.encode(self.record(number))

    def record(self, number: int) -> EpochRecord:
        """An epoch's record."""
        return record(number, self.sites.get(number, ""), self.sets.get(number, SET), self.k)

    def ship_into(self, number: int, *names: str) -> None:
        """This epoch has another vault set."""
        self.sets[number] = names
        for name in names:
            self.vaults.setdefault(name, MemoryVault(name))
        for vault in self.vaults.values():
            vault.objects[layout.epoch(number)] = epochs.encode(self.record(number))

    def say(self, number: int, entries: int) -> None:
        """The operator's word how many entries came before this epoch."""
        anchors.leave(self.vaults, self.record(number), entries, seals.signer(OPERATOR), CHECK)

    def put(self, key: str, data: bytes, *names: str) -> None:
        """Into these vaults, or all."""
        for name in names or self.vaults:
            self.vaults[name].put_new(key, data)

    def enter(self, epoch: int, *numbers: int) -> None:
        """Entries under an epoch, in every vault; whoever has the recipients can put them."""
        sealed = seals.encrypt(b"of %d" % epoch, [str(IDENTITY.to_public())])
        for seq in numbers:
            self.put(layout.ledger(epoch, seq), sealed)

    def open(self, number: int, *names: str) -> None:
        """A site was opened under this epoch."""
        told = chunk.Opening(number, f"n{number}", number - 1, 9, 9, 1, "7", 1.0)
        self.put(layout.opening(number), chunk.encode_opening(told, seals.signer(SITE)), *names)

    def fetch(self, number: int) -> dict[str, Any]:
        """The command at the site that is opened under this epoch."""
        return fetch_ledger.main(self.config(number))

    def config(self, number: int) -> Any:
        """Of that site."""
        paths = SimpleNamespace(ledger=self.folder / "ledger", wal=self.folder / "wal")
        paths.ledger.mkdir(exist_ok=True)
        records = [SimpleNamespace(record=partial(self.record, n)) for n in range(1, number + 1)]
        return SimpleNamespace(
            open=lambda: self.vaults,
            parent_epochs=records[:-1],
            epoch=records[-1],
            record=self.record(number),
            paths=paths,
            root=number,
            key=lambda: str(IDENTITY),
            verify=CHECK,
            ledger_check=self.ledger_check,
        )

    @property
    def brought(self) -> list[bytes]:
        """What the app will read."""
        return [path.read_bytes() for path in sorted((self.folder / "ledger").iterdir())]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Those vaults, and a host that has nothing yet."""
    return World(tmp_path)


@pytest.mark.parametrize("planted", [(1,), (3,), (1, 2, 3, 4, 5, 6), (6,), (9,)])
def test_entries_under_the_epoch_that_is_opened_count_for_nothing(world: World, planted: tuple[int, ...]) -> None:
    """They were put before its site could write; nothing that was acknowledged gives way to them, nor waits for their gap."""
    world.enter(2, *planted)
    assert world.fetch(2) == {"entries": 5, "fetched": 5, "forked": [], "passed_over": {}}
    assert world.brought == [b"of 1"] * 5


@pytest.mark.parametrize("planted", [(1,), (6,), (9,)])
def test_entries_under_an_epoch_that_was_never_opened_count_for_nothing(world: World, planted: tuple[int, ...]) -> None:
    """Its names were taken, so the next epoch was sealed: what lies below the first one is nobody's, and is told."""
    world.enter(2, *planted)
    world.put(layout.opening(2), b"junk", "elm")
    world.put(layout.first(2), b"junk")
    told = {"entries": 5, "fetched": 5, "passed_over": {}, "forked": [layout.ledger(2, seq) for seq in planted]}
    assert world.fetch(3) == told
    assert world.brought == [b"of 1"] * 5


def test_an_epoch_that_was_opened_goes_before_those_before_it(world: World) -> None:
    """One vault that has the opening record is enough, whatever lies there in the others."""
    world.put(layout.opening(2), b"junk", "cedar", "elm")
    world.open(2, "birch")
    world.enter(2, 5, 6)
    assert world.fetch(3)["forked"] == [layout.ledger(1, 5)]
    assert world.brought == [*[b"of 1"] * 4, *[b"of 2"] * 2]


def test_what_its_site_had_not_handed_over_yet_counts(world: World) -> None:
    """It was killed between: what came before it is still where it was."""
    world.open(2)
    world.enter(2, 1, 2, 3)
    assert world.fetch(3)["forked"] == [layout.ledger(1, seq) for seq in (1, 2, 3)]
    assert world.brought == [*[b"of 2"] * 3, *[b"of 1"] * 2]


def test_what_a_fenced_site_put_past_the_anchor_was_acknowledged_to_nobody(world: World) -> None:
    """The next site began where the operator said; an entry that came later belongs to nobody's ledger."""
    world.open(2)
    world.say(2, 4)
    world.enter(2, 1, 2, 3)
    assert world.fetch(3)["forked"] == [layout.ledger(1, seq) for seq in (1, 2, 3, 5)]
    assert world.brought == [*[b"of 2"] * 3, b"of 1"]


@pytest.mark.parametrize("handed_over", [True, False])
def test_nothing_is_opened_while_vaults_of_an_older_epoch_are_silent(world: World, handed_over: bool) -> None:  # noqa: FBT001
    """The epoch between is not known to hold what came before it, whatever its own vaults say."""
    for number in (2, 3):
        world.ship_into(number, "elm", "oak")
    world.open(2)
    if handed_over:
        world.say(2, 5)
        world.enter(2, 1, 2, 3, 4, 5)
    world.vaults["birch"] = world.vaults["cedar"] = Dead("birch")
    if handed_over:
        assert world.fetch(3)["entries"] == 5
        return
    with pytest.raises(VaultError, match="1 vaults of epoch 1 list the ledger"):
        world.fetch(3)


@pytest.mark.parametrize(("planted", "forked"), [((1,), (1,)), ((3, 4), (3, 4)), ((5, 6), (5,))])
def test_another_vault_set_takes_nothing_from_the_ledger(
    world: World, planted: tuple[int, ...], forked: tuple[int, ...]
) -> None:
    """Its host goes on under the number it began with: what lies under the later one may follow, and replaces nothing."""
    world.continue_with(2)
    world.open(2)
    world.enter(2, *planted)
    told = world.fetch(3)
    assert told["forked"] == [layout.ledger(2, seq) for seq in forked]
    assert world.brought == [b"of 1"] * 5 + [b"of 2"] * (len(planted) - len(forked))


def test_in_doubt_entries_count(world: World) -> None:
    """The opening record may lie in k vaults that are silent; and behind junk where the only one that tells is."""
    world.enter(2, 6)
    keys = [layout.ledger(1, 1), layout.ledger(2, 6)]
    assert fetch_ledger.unopened(world.vaults, keys, 2, CHECK) == [2]
    one = {**world.vaults, "elm": Dead("elm")}
    assert fetch_ledger.unopened(one, keys, 2, CHECK) == [2]
    assert fetch_ledger.unopened({**one, "cedar": Dead("cedar")}, keys, 2, CHECK) == []
    world.put(layout.opening(2), b"junk", "birch")
    assert fetch_ledger.unopened(one, keys, 2, CHECK) == []
    assert fetch_ledger.unopened({}, keys, 2, CHECK) == []


class Silent(Dead):
    """A vault that answers nobody, and counts who waits for that."""

    asked = 0

    def get(self, key: str) -> bytes | None:
        """One more question in vain."""
        self.asked += 1
        return super().get(key)

    def exists(self, key: str) -> bool:
        """One more question in vain."""
        self.asked += 1
        return super().get(key) is not None

    def list(self, prefix: str) -> list[str]:
        """One more question in vain."""
        self.asked += 1
        return super().list(prefix)


def test_a_silent_vault_is_waited_for_once(world: World) -> None:
    """Whoever does not list the ledger is asked nothing more: a vault that hangs takes half a minute for each answer."""
    world.enter(2, 6)
    elm = world.vaults["elm"] = Silent("elm")
    assert world.fetch(3)["forked"] == [layout.ledger(2, 6)]
    assert elm.asked == 1


@pytest.mark.parametrize("planted", [1, 6])
def test_nobody_keeps_a_new_site_shut_by_an_entry_to_come(planted: int) -> None:
    """What the gate compares the app's ledger with is what was written before its epoch."""
    stage = day_one()
    for held in stage.state.vaults.values():
        held.objects[layout.ledger(2, planted)] = b"nothing"
    SimulatedGround(stage.state, stage.fleet, SimulatedUsers(stage.state, stage.fleet)).inject("terminate", ("acorn",))
    stage.operator.failover("birch", ("acorn",))
    looked = [event.data["anchor"] for event in stage.world.log.read() if event.kind == "looked"]
    assert looked == [2]


def test_an_entry_that_was_written_over_is_read_as_it_was_put(tmp_path: Path) -> None:
    """Whoever has the recipients can seal another in its place, in every vault that lets him."""
    kept = {name: Versioned(name) for name in SET}
    world = World(tmp_path)
    for name, vault in kept.items():
        for key, data in world.vaults[name].objects.items():
            vault.put_new(key, data)
        vault.objects[layout.ledger(1, 4)] = seals.encrypt(b"a thief's", [str(IDENTITY.to_public())])
    world.vaults = {**kept}
    assert world.fetch(2)["entries"] == 5
    assert world.brought == [b"of 1"] * 5
