"""What a standby keeps of the chunks that it read: never less than somebody may need, and no more for ever."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import VaultError
from resilience.model import EpochRecord
from resilience.replication import chunk, layout, lsn, proof, seals
from resilience.replication import label as labels
from resilience.replication.chunk import Header, Opening, Start
from resilience.replication.objects import Place, Span, keep
from resilience.replication.standby_prune import StandbyPrune
from tests.unit.test_chunk import BY_OPERATOR, CERTIFY, KEY, LABELLED, SIGN

MIB = 1 << 20
CHUNK = MIB // 2
SET = ("birch", "cedar", "elm")
FIRST = EpochRecord(1, "acorn", "nonce", 0, SET, 2, 2, 1.0, seals.public_hex(KEY), "")
SECOND = replace(FIRST, number=2, parent=1)


class Door(MemoryVault):
    """A vault that may fall silent."""

    silent = False

    def list(self, prefix: str) -> list[str]:
        """Nothing is listed while it is silent."""
        if self.silent:
            raise VaultError(f"{self.name} could not list {prefix}", "timed out", "Bring it back.")
        return super().list(prefix)


class World:
    """Three vaults with all WAL from 1 MiB on, and a standby that read it all."""

    def __init__(self, folder: Path) -> None:
        self.vaults = {name: Door(name) for name in SET}
        self.known = {1: FIRST}
        self.record = FIRST
        self.reached = Place(1, 1 << 62)
        self.folder = folder / "objects"
        self.folder.mkdir()
        self.stopping = threading.Event()
        config: Any = SimpleNamespace(paths=SimpleNamespace(wal=folder), verify=BY_OPERATOR)
        where = lambda: (self.record, self.reached)  # noqa: E731
        self.prune = StandbyPrune(config, self.vaults, self.known, MIB, where, self.stopping)
        self.put(layout.first(1), chunk.encode_start(Start(1, "nonce", MIB, 1, "42", "", 1.0), SIGN))

    def put(self, key: str, data: bytes, *names: str) -> None:
        """Into these vaults, or all."""
        for name in names or SET:
            self.vaults[name].put_new(key, data)

    def ship(self, mib: int, upto: int, epoch: int = 1) -> None:
        """Chunks from and up to so many MiB, two in each; into all vaults, and read by the standby."""
        for start in range(mib * MIB, upto * MIB, CHUNK):
            header = Header(epoch, "nonce", "acorn", epoch, "42", start, start + CHUNK, start, 1.0, "ab" * 32)
            self.put(layout.chunk(epoch, start), b"sealed")
            keep(self.folder, header, b"sealed")

    def snapshot(self, mib: int, *names: str, epoch: int = 1, snapshot: str = "") -> str:
        """A label in these vaults, or all; the snapshot's id."""
        snapshot = snapshot or f"{mib:08x}"
        at = {"start_lsn": lsn.show(mib * MIB + 9), "stop_lsn": lsn.show(mib * MIB + 99)}
        repository = layout.repository(epoch)
        for name in names or SET:
            facts: dict[str, Any] = {
                **at,
                "epoch": epoch,
                "vault": name,
                "snapshot": snapshot,
                "repository": repository,
            }
            label = replace(LABELLED, **facts, timeline=epoch)
            self.put(label.key, labels.encode(label, SIGN), name)
        return snapshot

    def proves(self, snapshot: str, *names: str, sign: seals.Sign = CERTIFY) -> None:
        """The operator restored it from each of these, by itself."""
        for name in names:
            facts = {"ok": True, "snapshot": snapshot}
            at = len(self.vaults["elm"].objects)
            self.put(layout.verified(name, at), proof.encode("fleet", name, float(at), facts, sign))

    def lose(self, mib: int, *names: str) -> None:
        """These vaults lose the chunk that begins there."""
        for name in names:
            self.vaults[name].delete(layout.chunk(1, mib * MIB))

    def kept(self) -> list[float]:
        """Where what is kept begins, in MiB, after a look."""
        self.prune.look()
        return sorted(Span.of(path.name).start / MIB for path in self.folder.iterdir())


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Snapshots at 1 and 4 MiB of the 6 MiB that were written."""
    made = World(tmp_path)
    made.ship(1, 6)
    made.snapshot(1)
    made.snapshot(4)
    return made


ALL = [n / 2 for n in range(2, 12)]
SINCE_4 = [n / 2 for n in range(8, 12)]


def test_what_lies_before_a_snapshot_that_k_vaults_proved_goes(world: World) -> None:
    """One proof is too few, and so is a proof that somebody else signed; the second opens the way, once."""
    world.proves("00000004", "birch")
    world.proves("00000004", "cedar", sign=SIGN)
    assert world.kept() == ALL
    world.proves("00000004", "elm")
    assert world.kept() == SINCE_4
    assert world.prune.facts == {"chunks": 4, "bytes": 24, "needed_from": "0/400000", "lacked": {}}
    assert world.kept() == SINCE_4


def test_each_of_k_vaults_counts_by_its_own_newest_proof(world: World) -> None:
    """The older of both is what all of them lead past."""
    world.snapshot(3, "elm")
    world.proves("00000004", "birch")
    world.proves("00000003", "elm")
    assert world.kept() == [n / 2 for n in range(6, 12)]


def test_a_last_copy_stays_and_is_told(world: World) -> None:
    """A vault with an older snapshot and without its WAL: this host may hold the only copy, and says whose it is."""
    world.proves("00000004", *SET)
    world.lose(2, *SET)
    world.lose(3, "elm")
    assert world.kept() == [2.0, 3.0, *SINCE_4]
    assert world.prune.facts is not None
    assert world.prune.facts["lacked"] == {"birch": 1, "cedar": 1, "elm": 2}
    for vault in world.vaults.values():  # the operator pruned: nobody needs it any more
        vault.delete(next(key for key in vault.list(layout.LABEL)))
    assert world.kept() == SINCE_4
    assert world.prune.facts["lacked"] == {}


def test_a_silent_vault_neither_counts_nor_stands_in_the_way(world: World) -> None:
    """Two that answer and proved it are enough; with one more silent they are too few."""
    world.proves("00000004", *SET)
    world.vaults["birch"].silent = True
    world.vaults["elm"].silent = True
    assert world.kept() == ALL
    world.vaults["elm"].silent = False
    assert world.kept() == SINCE_4


def test_a_proof_counts_only_while_its_label_is_there(world: World) -> None:
    """A vault that was emptied gives nothing back, whatever it once proved."""
    world.proves("00000004", "birch", "elm")
    for key in world.vaults["elm"].list(""):
        world.vaults["elm"].delete(key)
    assert world.kept() == ALL


def test_a_second_label_for_a_proven_snapshot_moves_nothing(world: World) -> None:
    """A thief at the site can sign that an old snapshot begins later than it does."""
    world.proves("00000001", *SET)
    world.snapshot(5, snapshot="00000001")
    assert world.kept() == ALL


def test_nothing_goes_that_this_copy_did_not_write_down_yet(world: World) -> None:
    """A standby that is far behind still needs what it read."""
    world.proves("00000004", *SET)
    world.reached = Place(1, 2 * MIB)
    assert world.kept() == ALL[2:]


def test_nothing_goes_where_a_takeover_would_begin_earlier(world: World) -> None:
    """A standby's own fresh snapshot goes before newer ones, proven or not; of that the standby keeps all WAL."""
    fields: dict[str, Any] = {"start_lsn": "0/300009", "stop_lsn": "0/300099", "epoch": 1, "at": 1e11, "vault": "elm"}
    label = replace(LABELLED, **fields, site="birch", repository=layout.standby_repository(1), snapshot="00000003")
    world.put(label.key, labels.encode(label, CERTIFY), "elm")
    world.proves("00000004", *SET)
    assert world.kept() == [n / 2 for n in range(6, 12)]


def test_the_last_chunk_of_an_epoch_stays(world: World) -> None:
    """It tells how far this copy may have gone under an epoch that somebody cuts later; the next epoch's floor prunes the rest."""
    world.known[2] = world.record = SECOND
    world.put(layout.opening(2), chunk.encode_opening(Opening(2, "nonce", 1, 6 * MIB, 6 * MIB, 1, "42", 1.0), SIGN))
    world.put(layout.first(2), chunk.encode_start(Start(2, "nonce", 6 * MIB, 2, "42", "1\t0/600000\tno\n", 1.0), SIGN))
    world.ship(6, 9, epoch=2)
    world.snapshot(8, epoch=2)
    world.proves("00000008", *SET)
    world.reached = Place(2, 9 * MIB)
    assert world.kept() == [5.5, 8.0, 8.5]


def test_a_snapshot_of_a_history_that_was_cut_off_proves_nothing(world: World) -> None:
    """What it leads past is not what the newest site wrote."""
    world.proves("00000004", *SET)
    world.known[2] = world.record = SECOND
    world.put(layout.opening(2), chunk.encode_opening(Opening(2, "nonce", 1, 3 * MIB, 3 * MIB, 1, "42", 1.0), SIGN))
    world.put(layout.first(2), chunk.encode_start(Start(2, "nonce", 3 * MIB, 2, "42", "1\t0/300000\tno\n", 1.0), SIGN))
    world.reached = Place(2, 3 * MIB)
    assert world.kept() == ALL


def test_ended_in_the_middle_it_goes_on_where_it_was(world: World) -> None:
    """Told to stop, it removes nothing more; what is half written is not its business; the rest goes with the next look."""
    world.proves("00000004", *SET)
    half = world.folder / ".00000001-half.7"
    half.write_bytes(b"half")
    world.stopping.set()
    world.prune.look()
    assert len(list(world.folder.iterdir())) == len(ALL) + 1
    world.stopping.clear()
    world.prune.look()
    half.unlink()
    assert world.kept() == SINCE_4


def test_a_file_that_is_no_chunk_is_left_alone(world: World) -> None:
    """Somebody's own file there neither counts nor stops anything."""
    world.proves("00000004", *SET)
    for name in ("core", "00000001-x-y-z", "1-2-3-4-5"):
        (world.folder / name).write_bytes(b"theirs")
    world.prune.look()
    assert len(list(world.folder.iterdir())) == len(SINCE_4) + 3
    assert world.prune.facts is not None
    assert (world.prune.facts["chunks"], world.prune.facts["bytes"]) == (4, 24)


def test_a_label_of_nonsense_stops_no_pruning(world: World) -> None:
    """Signed by a thief, beside the true ones."""
    world.proves("00000004", *SET)
    fields: dict[str, Any] = {"start_lsn": "0/400009", "stop_lsn": "0/400099", "epoch": 1, "vault": "elm", "site": 7}
    label = replace(LABELLED, **fields, repository=layout.repository(1), snapshot="deadbeef")
    world.put(label.key, labels.encode(label, SIGN), "elm")
    assert world.kept() == SINCE_4


def test_vaults_that_make_proofs_up_or_tell_of_none_stop_no_pruning(world: World) -> None:
    """Eight newer names that nobody signed crowd no true proof of another vault out; a listing that fails is passed over."""
    world.proves("00000004", "birch", "cedar")
    for name in SET:
        for n in range(8):
            world.put(layout.verified(name, 10**14 + n), b"junk", "elm")
    usual = world.vaults["cedar"].list

    def listing(prefix: str) -> list[str]:
        if prefix.startswith(layout.VERIFIED):
            raise VaultError("cedar", "503", "Bring it back.")
        return usual(prefix)

    world.vaults["cedar"].list = listing  # type: ignore[method-assign]
    assert world.kept() == SINCE_4


def test_a_look_that_fails_is_told_and_followed_by_another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it failed at: the thread lives, and says so until a look comes to its end."""
    world.proves("00000004", *SET)
    looks, usual = iter(["fails"]), world.prune.look
    told: list[Any] = []

    def look() -> None:
        if next(looks, None):
            raise RuntimeError("nobody thought of this")
        told.append(world.prune.facts)
        usual()
        world.stopping.set()

    monkeypatch.setattr(world.prune, "look", look)
    monkeypatch.setattr("resilience.replication.standby_prune.EVERY", 0.01)
    world.prune.start()
    world.prune.join(120)
    assert told == [{"error": "RuntimeError: nobody thought of this"}]
    assert world.prune.facts is not None
    assert "error" not in world.prune.facts
