"""What the vendor of one vault, or a thief who may put there, can do to the ledger by listing and giving what he likes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.errors import BrokenChain, VaultError
from resilience.plaza.ledger import GENESIS, canonical
from resilience.replication import epoch as epochs
from resilience.replication import fetch_ledger, layout, lineage, seals
from resilience.replication.entries import Entries, place
from resilience.replication.removed import read as removed
from resilience.simulation import SimulatedGround, SimulatedUsers
from resilience.simulation.plane import UNSIGNED
from tests.sim.stage import day_one
from tests.unit.test_epoch import SET, Dead
from tests.unit.test_fetch_ledger import IDENTITY, World

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CHECK = seals.verifier(KEY.public_key().public_bytes_raw().hex())
LIAR = "birch"
"""The liar's vault is asked first."""


def body(seq: int, prev: bytes | None, reason: str = "") -> bytes:
    """An entry as the app writes it, after another."""
    head = GENESIS if prev is None else hashlib.sha256(prev).hexdigest()
    fields = {"seq": seq, "prev": head, "action": "takedown", "media": [], "reason": reason}
    return canonical({**fields, "signature": KEY.sign(canonical(fields)).hex()})


def sealed(entry: bytes) -> bytes:
    """As ship puts it."""
    return seals.encrypt(entry, [str(IDENTITY.to_public())])


class Signed(World):
    """Three vaults with six entries of epoch 1, which the app signed; epoch 2 is sealed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.ledger_check = CHECK
        for vault in self.vaults.values():
            for key in vault.list(layout.LEDGER):
                del vault.objects[key]
        self.entries: list[bytes] = []
        for seq in range(1, 7):
            self.entries.append(body(seq, self.entries[-1] if self.entries else None))
            self.enter_signed(1, seq, self.entries[-1])

    def enter_signed(self, epoch: int, seq: int, entry: bytes, *names: str) -> None:
        """Into these vaults, or all, in place of what is there."""
        for name in names or self.vaults:
            self.vaults[name].objects[layout.ledger(epoch, seq)] = sealed(entry)

    def part(self, *fenced: bytes) -> list[bytes]:
        """Six entries came before epoch 2, whose site wrote a seventh; the one before left these, and told nobody."""
        self.open(2)
        self.say(2, 6)
        for seq, entry in enumerate(self.entries, 1):
            self.enter_signed(2, seq, entry)
        acknowledged = body(7, self.entries[-1], "acknowledged")
        self.enter_signed(2, 7, acknowledged)
        for seq, entry in enumerate(fenced, 7):
            self.enter_signed(2, seq, entry, LIAR)
        return [*self.entries, acknowledged]

    @property
    def fenced(self) -> list[bytes]:
        """What a fenced site wrote after the sixth entry."""
        first = body(7, self.entries[-1], "told nobody")
        return [first, body(8, first, "nor this")]


@pytest.fixture
def world(tmp_path: Path) -> Signed:
    """Those vaults, and a host that has nothing yet."""
    return Signed(tmp_path)


def merely_lists(world: Signed) -> None:
    """There is nothing behind the name."""
    world.vaults[LIAR].objects[layout.ledger(1, 9)] = b"x"


def replays(world: Signed) -> None:
    """The second entry once more, as the seventh."""
    world.enter_signed(1, 7, world.entries[1], LIAR)


@pytest.mark.parametrize("lie", [merely_lists, replays])
def test_what_one_vault_lists_and_nobody_gives_is_no_gap(world: Signed, lie: Callable[[Signed], None]) -> None:
    """Two others would have it if anybody had been told of it; whose vault it is is said."""
    lie(world)
    assert world.fetch(2) == {"entries": 6, "fetched": 6, "forked": [], "passed_over": {LIAR: 1}}
    assert world.brought == world.entries


@pytest.mark.parametrize("lie", [merely_lists, replays])
def test_while_another_vault_is_lost_it_may_have_been_an_entry(world: Signed, lie: Callable[[Signed], None]) -> None:
    """The two together could be those that held it: whose it is is said, and what to do."""
    lie(world)
    del world.vaults["elm"]
    with pytest.raises(BrokenChain, match="listed by birch") as told:
        world.fetch(2)
    assert "--lost" in told.value.next


@pytest.mark.parametrize("number", [5, 6])
def test_another_entry_in_one_s_place_is_read_from_the_next_vault(world: Signed, number: int) -> None:
    """It opens, and is signed; it is not the one that belongs there."""
    world.enter_signed(1, number, world.entries[1], LIAR)
    assert world.fetch(2)["fetched"] == 6
    assert world.brought == world.entries


def test_what_an_earlier_run_kept_is_looked_at_again(world: Signed) -> None:
    """Another entry in one's place is written anew; what is no entry of its number goes."""
    world.fetch(2)
    (world.folder / "ledger/00000005.json").write_bytes(world.entries[1])
    (world.folder / "ledger/00000007.json").write_bytes(world.entries[1])
    assert world.fetch(2)["fetched"] == 1
    assert world.brought == world.entries


def test_what_a_standby_kept_is_looked_at_again(world: Signed) -> None:
    """An earlier version kept whatever opened."""
    config = world.config(2)
    path = place(config, layout.ledger(1, 5))
    path.parent.mkdir(parents=True)
    path.write_bytes(world.entries[1])
    world.fetch(2)
    assert world.brought == world.entries


def test_a_standby_keeps_no_other_entry_in_one_s_place(world: Signed) -> None:
    """Nor takes it for a newer one: it asks the next vault."""
    replays(world)
    world.enter_signed(1, 5, world.entries[1], LIAR)
    config = world.config(2)
    entries = Entries(config, world.vaults, lambda: 1, Event())
    entries.cycle()
    assert not place(config, layout.ledger(1, 5)).exists()
    assert not place(config, layout.ledger(1, 7)).exists()
    assert entries.held == 6


@pytest.mark.parametrize("many", [1, 2])
@pytest.mark.parametrize("cached", [False, True])
def test_a_fenced_site_s_entry_under_the_next_epoch_s_name_counts_for_nothing(
    world: Signed,
    many: int,
    cached: bool,  # noqa: FBT001
) -> None:
    """It is signed, has the number, and follows the sixth; two vaults give the one that was acknowledged."""
    acknowledged = world.part(*world.fenced[:many])
    if cached:
        path = place(world.config(3), layout.ledger(2, 7))
        path.parent.mkdir(parents=True)
        path.write_bytes(world.fenced[0])
    told = world.fetch(3)
    assert world.brought == acknowledged
    assert (told["entries"], told["passed_over"]) == (7, {LIAR: 1} if many == 2 else {})


def test_two_that_could_both_have_been_acknowledged_stop_it(world: Signed) -> None:
    """One vault gives the one, one the other, and the third is lost: both are named."""
    world.part(world.fenced[0])
    del world.vaults["elm"]
    with pytest.raises(BrokenChain, match="one ledger entry 7 that counts") as told:
        world.fetch(3)
    assert "in birch" in told.value.missing
    assert "in cedar" in told.value.missing


def test_a_fenced_site_s_entry_takes_nothing_s_place_that_was_not_handed_over_yet(world: Signed) -> None:
    """Epoch 3 was opened and handed nothing over: under its name, too, what came before it is what the others have."""
    acknowledged = world.part()
    world.put(layout.epoch(4), epochs.encode(world.record(4)))
    world.open(3)
    world.say(3, 7)
    world.enter_signed(3, 7, world.fenced[0], LIAR)
    assert world.fetch(4)["entries"] == 7
    assert world.brought == acknowledged


def test_the_same_entry_under_both_names_is_one(world: Signed) -> None:
    """What was handed over again is read under the older name where the newer one's object is spoilt everywhere."""
    acknowledged = world.part()
    for vault in world.vaults.values():
        vault.objects[layout.ledger(2, 6)] = b"spoilt"
    assert world.fetch(3)["entries"] == 7
    assert world.brought == acknowledged


def test_what_was_acknowledged_and_nobody_gives_stops_it(world: Signed) -> None:
    """All list it: it is no vendor's lie."""
    for vault in world.vaults.values():
        vault.objects[layout.ledger(1, 6)] = b"spoilt"
    with pytest.raises(BrokenChain, match="00000006"):
        world.fetch(2)
    for vault in world.vaults.values():
        del vault.objects[layout.ledger(1, 6)]
        del vault.objects[layout.ledger(1, 4)]
    with pytest.raises(BrokenChain, match="ledger entry 4"):
        world.fetch(2)


def test_by_another_key_nothing_is_opened(world: Signed) -> None:
    """A kit that was made anew does not open a site without one takedown."""
    world.ledger_check = seals.verifier(seals.public_hex(Ed25519PrivateKey.generate()))
    with pytest.raises(BrokenChain):
        world.fetch(2)


def test_what_the_site_wrote_itself_stays(world: Signed) -> None:
    """`up` runs it again while the site serves; a fenced one's entry came in late."""
    world.say(2, 6)
    world.fetch(2)
    own = body(7, world.entries[-1], "here")
    (world.folder / "ledger/00000007.json").write_bytes(own)
    for seq, entry in enumerate(world.fenced, 7):
        world.enter_signed(1, seq, entry, "elm")
    assert world.fetch(2)["fetched"] == 0
    assert world.brought == [*world.entries, own]


def test_a_vault_that_lists_without_end_is_named(world: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks through a million names."""
    monkeypatch.setattr(lineage, "MOST", 5)
    for seq in range(7, 20):
        world.vaults[LIAR].objects[layout.ledger(1, seq)] = b"x"
    with pytest.raises(VaultError, match=LIAR):
        world.fetch(2)


def test_a_silent_vault_does_not_make_a_lie_true(world: Signed) -> None:
    """Of five vaults it takes three to have told anybody: one that lies and one that is silent are two."""
    world.k = 3
    for number in (1, 2):
        world.ship_into(number, *SET, "fir", "gorse")
    for seq, entry in enumerate(world.entries, 1):
        world.enter_signed(1, seq, entry)
    merely_lists(world)
    world.vaults["gorse"] = Dead("gorse")
    assert world.fetch(2)["passed_over"] == {LIAR: 1}


def test_what_is_erased_is_read_from_the_next_vault(world: Signed) -> None:
    """`removed` believes what the others give."""
    world.enter_signed(1, 2, world.entries[4], LIAR)
    merely_lists(world)
    fetch_ledger.fetch(world.config(2), 1)
    assert removed(sorted((world.folder / "ledger").iterdir()), CHECK)["entries"] == 6


def test_one_vault_s_listing_keeps_no_new_site_shut() -> None:
    """What the operator's machine counts before it opens is what enough vaults may hold."""
    stage = day_one()
    stage.state.vaults["elm"].objects[layout.ledger(1, 9)] = UNSIGNED
    SimulatedGround(stage.state, stage.fleet, SimulatedUsers(stage.state, stage.fleet)).inject("terminate", ("acorn",))
    stage.operator.failover("birch", ("acorn",))
    looked = [event.data["anchor"] for event in stage.world.log.read() if event.kind == "looked"]
    assert looked == [2]


def test_an_entry_that_follows_one_that_does_not_count_is_no_gap(world: Signed) -> None:
    """The liar gives the seventh as it is, and the fenced site's eighth: what that follows is in no vault."""
    acknowledged = world.part()
    world.enter_signed(2, 8, world.fenced[1], LIAR)
    assert world.fetch(3)["passed_over"] == {LIAR: 1}
    assert world.brought == acknowledged
    del world.vaults["elm"]
    world.fetch(3)
    assert world.brought == acknowledged, "the two that are left hold the seventh"
    del world.vaults[LIAR].objects[layout.ledger(2, 7)]
    with pytest.raises(BrokenChain, match="birch: entry 8 follows another one"):
        world.fetch(3)


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_whatever_one_vault_gives_the_others_ledger_is_opened_or_nothing(
    world: Signed,
    seed: int,
    lost: bool,  # noqa: FBT001
) -> None:
    """Two vaults have it whole: it is what they have. Where one of these is lost, it is that or a stop."""
    draw = random.Random(seed)
    whole = world.part()
    for seq in range(8, draw.choice((8, 9, 10))):
        whole.append(body(seq, whole[-1], "acknowledged"))
        world.enter_signed(2, seq, whole[-1])
    branch = world.fenced
    branch.append(body(9, branch[-1], "nor that"))
    liar = draw.choice(list(world.vaults))
    lies = [*whole, *branch, b"junk"]
    for epoch in (1, 2):
        for seq in draw.sample(range(1, 12), 6):
            fitting = [entry for entry in branch if b'"seq":%d,' % seq in entry]
            lie = draw.choice([*fitting, *fitting, *fitting, draw.choice(lies), None])
            if lie is None:
                world.vaults[liar].objects.pop(layout.ledger(epoch, seq), None)
            else:
                world.enter_signed(epoch, seq, lie, liar)
    if lost:
        del world.vaults[next(name for name in world.vaults if name != liar)]
    try:
        world.fetch(3)
    except BrokenChain:
        assert lost
    else:
        assert world.brought == whole


def test_what_the_new_site_has_read_counts_however_few_vaults_have_it() -> None:
    """Others lost it since: the operator's word for the epoch must not let it go before it is handed over again."""
    stage = day_one()
    for name, held in stage.state.vaults.items():
        if name != "elm":
            held.objects.pop(layout.ledger(1, 2), None)
    SimulatedGround(stage.state, stage.fleet, SimulatedUsers(stage.state, stage.fleet)).inject("terminate", ("acorn",))
    stage.operator.failover("birch", ("acorn",))
    looked = [event.data["anchor"] for event in stage.world.log.read() if event.kind == "looked"]
    assert looked == [2]
