"""A standby that missed the newest snapshot lacks more than that snapshot needs: on vaults in memory, with real chunks."""

from __future__ import annotations

import hashlib
import json
import platform
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import BrokenChain, NoSnapshot, Refused
from resilience.model import EpochRecord
from resilience.ports import Vault
from resilience.replication import chunk, layout, lsn, point, restore, seals
from resilience.replication import label as labels
from resilience.replication.base import MARKER, owner_of
from resilience.replication.chunk import Header, Start
from resilience.replication.config import Config
from resilience.replication.objects import object_path
from resilience.replication.segments import Segments
from tests.replication.harness import Fleet, Site, site_folder
from tests.replication.test_gather import Versioned
from tests.unit.test_chunk import LABELLED

MIB = 1 << 20
SET = ("birch", "cedar", "elm")
REACHED = 2 * MIB + 100
END = 6 * MIB


class InMemory(Config):
    """A host's configuration, with vaults that are no stores."""

    held: dict[str, Any]

    def open(self, names: tuple[str, ...] | None = None) -> dict[str, Vault]:
        """To read."""
        return {name: self.held[name] for name in names or SET}

    def open_to_write(self, names: tuple[str, ...] | None = None) -> dict[str, Vault]:
        """To put."""
        return self.open(names)


class Behind:
    """Birch followed acorn up to some 2 MiB; the newest snapshot is at 4 of the 6 MiB that acorn shipped."""

    def __init__(self, folder: Path, kind: type[MemoryVault] = MemoryVault) -> None:
        self.fleet = Fleet({}, members=SET)
        self.vaults = {name: kind(name) for name in SET}
        self.wal = random.Random(7).randbytes(END - MIB)
        first = self._epoch("acorn")
        sign = seals.signer(self.fleet.keys[1])
        self._put(layout.first(1), chunk.encode_start(Start(1, first.nonce, MIB, 1, "42", "", 1.0), sign))
        for start in range(MIB, END, MIB // 2):
            body = chunk.seal_body(self.wal[start - MIB : start - MIB // 2], [self.fleet.recipient])
            sha = hashlib.sha256(body).hexdigest()
            header = Header(1, first.nonce, "acorn", 1, "42", start, start + MIB // 2, start, 1.0, sha)
            self._put(layout.chunk(1, start), data := chunk.encode(header, body, sign))
            if start == 3 * MIB:
                self.cut = data
        facts = {"epoch": 1, "nonce": first.nonce, "repository": "restic/00000001"}
        at = {"start_lsn": lsn.show(4 * MIB + 9), "stop_lsn": lsn.show(4 * MIB + 99)}
        versions = {**LABELLED.versions, "arch": platform.machine()}
        for name in SET:
            self.label = replace(LABELLED, **facts, **at, versions=versions, vault=name)  # type: ignore[arg-type]
            self.vaults[name].put_new(self.label.key, labels.encode(self.label, sign))
        self._follow(Site(folder, "birch", self.fleet, self._epoch("birch")))

    def _epoch(self, site: str) -> EpochRecord:
        key = Ed25519PrivateKey.generate()
        record = self.fleet.record(site, key)
        self.fleet.records.append(record)
        self.fleet.keys[record.number] = key
        return record

    def _put(self, key: str, data: bytes) -> None:
        for vault in self.vaults.values():
            vault.put_new(key, data)

    def seal_again(self) -> None:
        """The next epoch lets birch write, too."""
        self.birch.take(self._epoch("birch"))
        self._configure()

    def _configure(self) -> None:
        told = json.loads(self.birch.config().read_text()) | {"sealed": SET, "held": self.vaults}
        self.config = InMemory.model_validate(told)

    def _follow(self, birch: Site) -> None:
        """What follow left there."""
        self.birch = birch
        self._configure()
        birch.pg.mkdir()
        facts = {"snapshot": "1d", "from_epoch": 1, "start_lsn": "0/100000", "segment_size": MIB, "system_id": "42"}
        (birch.pg / MARKER).write_text(json.dumps({"nonce": "", "epoch": 1, "state": "following", **facts}))
        reached = {"epoch": 1, "from": "0/100000", "position": lsn.show(REACHED), "timeline": 1}
        (birch.folder / "wal/follow.json").write_text(json.dumps(reached))
        self.segments = Segments(birch.folder / "wal/restored", MIB, owner_of(self.config))
        self.segments.write(1, MIB, self.wal[: REACHED - MIB])


@pytest.fixture
def behind() -> Iterator[Behind]:
    """That standby, about to take over."""
    with site_folder() as folder:
        yield Behind(folder)


def test_all_that_it_lacks_is_brought(behind: Behind) -> None:
    """Not only what lies past the snapshot: Postgres goes on from where this copy is."""
    merged = restore.main(behind.config)
    assert merged["end_lsn"] == lsn.show(END)
    assert behind.segments.read(1, MIB, END) == behind.wal


def test_where_no_vault_has_that_any_more_it_begins_with_the_snapshot(behind: Behind) -> None:
    """No hole in the history is told, of which an operator might accept the wrong end; here no vault gives the snapshot's files."""
    for vault in behind.vaults.values():
        vault.delete(layout.chunk(1, 3 * MIB))
    with pytest.raises(NoSnapshot, match="No vault holds a snapshot that can be used"):
        restore.main(behind.config)
    assert not (behind.config.paths.wal / "follow.json").exists()


def test_a_hole_past_the_snapshot_takes_nothing_from_it(behind: Behind) -> None:
    """Neither way leads to the end: the hole is told, the copy still follows, and a chunk that is nowhere else is still here.

    Once a vault is back that has what is missing, it goes on.
    """
    only, missing = layout.chunk(1, 4 * MIB + MIB // 2), layout.chunk(1, 5 * MIB)
    kept, lost = behind.vaults["elm"].get(only), behind.vaults["elm"].get(missing)
    assert kept is not None
    assert lost is not None
    for vault in behind.vaults.values():
        for key in (only, missing, layout.chunk(1, 3 * MIB)):
            vault.delete(key)
    found = chunk.decode(kept, behind.fleet.records[0])
    assert found is not None
    here = object_path(behind.config.paths.wal / "objects", found[0])
    here.parent.mkdir(exist_ok=True)
    here.write_bytes(kept)
    for _ in range(2):
        with pytest.raises(BrokenChain) as told:
            restore.main(behind.config)
        assert told.value.good_until.startswith(lsn.show(5 * MIB)), "what is kept here counts"
        assert here.read_bytes() == kept
        assert (behind.config.paths.wal / "follow.json").exists()
        assert json.loads((behind.config.paths.pg / MARKER).read_text())["state"] == "following"
    behind.vaults["elm"].put_new(missing, lost)
    behind.vaults["elm"].put_new(layout.chunk(1, 3 * MIB), behind.cut)
    assert restore.main(behind.config)["end_lsn"] == lsn.show(END)


@pytest.mark.parametrize(
    "forged",
    [
        {"system_id": "1"},
        {"start_lsn": "0/F0000000", "stop_lsn": "0/F0000100"},
        {"backup_label": "START WAL LOCATION: 0/500000\nSTART TIMELINE: 7\n"},
    ],
)
def test_no_label_that_a_thief_signs_takes_a_copy_away(behind: Behind, forged: dict[str, Any]) -> None:
    """With the site's key one may sign a newer snapshot, of another database, of tomorrow, of another history: it is passed over."""
    for name, vault in behind.vaults.items():
        later = {"vault": name, "start_lsn": lsn.show(5 * MIB), "stop_lsn": lsn.show(5 * MIB + 9), **forged}
        label = replace(behind.label, **later)
        vault.put_new(label.key, labels.encode(label, seals.signer(behind.fleet.keys[1])))
    merged = restore.main(behind.config)
    assert (merged["end_lsn"], merged["snapshot"]) == (lsn.show(END), behind.label.snapshot)
    assert merged["restic_s"] == 0, "its own files"


def test_what_a_thief_put_under_the_next_epoch_keeps_nobody_from_taking_over(behind: Behind) -> None:
    """It is told before anything is done, and the epoch after that one is opened: that nobody opened it can be seen."""
    for name in SET:
        for key in (layout.first(2), layout.life(2, 1)):
            behind.vaults[name].put_new(key, b"junk")
    with pytest.raises(Refused, match="Epoch 2 can't be opened"):
        restore.main(behind.config)
    assert (behind.config.paths.wal / "follow.json").exists()
    behind.seal_again()
    assert restore.main(behind.config)["end_lsn"] == lsn.show(END)
    assert all(vault.exists(layout.opening(3)) for vault in behind.vaults.values())


def test_where_he_also_put_an_opening_record_a_person_must_say_that_nobody_opened_it(behind: Behind) -> None:
    """It could be one that he wrote over: nothing is dropped until somebody who knows better removes it."""
    taken = (layout.first(2), layout.opening(2))
    for name in SET:
        for key in taken:
            behind.vaults[name].put_new(key, b"junk")
    behind.seal_again()
    with pytest.raises(BrokenChain) as told:
        restore.main(behind.config)
    assert f"remove what is below {layout.wal(2)}" in told.value.next
    for name in SET[1:]:
        for key in taken:
            behind.vaults[name].delete(key)
    assert restore.main(behind.config)["end_lsn"] == lsn.show(END)


def test_what_a_thief_put_in_one_vault_is_passed_over(behind: Behind) -> None:
    """Two others take the opening record."""
    for key in (layout.first(2), layout.opening(2)):
        behind.vaults["elm"].put_new(key, b"junk")
    assert restore.main(behind.config)["end_lsn"] == lsn.show(END)
    assert behind.vaults["elm"].get(layout.opening(2)) == b"junk"


@pytest.fixture
def versioned() -> Iterator[Behind]:
    """The same, with stores that let anybody write over and keep what was there."""
    with site_folder() as folder:
        yield Behind(folder, Versioned)


def _rewrite(behind: Behind, first: int) -> None:
    """Whoever has the site's key makes up the WAL from there to the end, under the names and with the ends that are there, one after another."""
    sign, before = seals.signer(behind.fleet.keys[1]), ""
    for start in range(first, END, MIB // 2):
        key = layout.chunk(1, start)
        found = chunk.decode(behind.vaults["elm"].objects[key], behind.fleet.records[0])
        assert found is not None
        body = chunk.seal_body(bytes(MIB // 2), [behind.fleet.recipient])
        header = replace(found[0], sha256=hashlib.sha256(body).hexdigest(), before=before, at=2.0)
        before = header.sha256
        for vault in behind.vaults.values():
            vault.objects[key] = chunk.encode(header, body, sign)


def test_a_history_that_was_written_over_everywhere_is_read_as_it_was_put(versioned: Behind) -> None:
    """All vaults agree on his, by the site's own key, and nothing but the order of the versions tells."""
    _rewrite(versioned, END - 3 * MIB // 2)
    merged = restore.main(versioned.config)
    assert merged["end_lsn"] == lsn.show(END)
    assert versioned.segments.read(1, MIB, END) == versioned.wal
    assert f"elm: written over {layout.chunk(1, END - MIB // 2)}" in merged["healed"]


def test_where_a_history_ends_is_told_by_what_was_put(versioned: Behind) -> None:
    """By the time that the site wrote into its last chunk, not by his."""
    _rewrite(versioned, END - 3 * MIB // 2)
    at = point.main(versioned.config, None, 1)
    assert (at["end_lsn"], at["end_at"]) == (lsn.show(END), 1.0)


def test_a_label_that_was_written_over_is_read_as_it_was_put(versioned: Behind) -> None:
    """His says that the copy becomes whole only past all that there is."""
    for name, vault in versioned.vaults.items():
        label = replace(versioned.label, vault=name, stop_lsn=lsn.show(2 * END))
        assert label.key in vault.objects
        vault.objects[label.key] = labels.encode(label, seals.signer(versioned.fleet.keys[1]))
    assert restore.main(versioned.config)["end_lsn"] == lsn.show(END)


def test_a_start_that_was_written_over_is_read_as_it_was_put(versioned: Behind) -> None:
    """His says that the epoch began on another database."""
    record = versioned.fleet.records[0]
    start = chunk.encode_start(Start(1, record.nonce, MIB, 1, "43", "", 1.0), seals.signer(versioned.fleet.keys[1]))
    for vault in versioned.vaults.values():
        vault.objects[layout.first(1)] = start
    assert restore.main(versioned.config)["end_lsn"] == lsn.show(END)


def test_what_is_written_over_is_looked_for_in_the_listings_that_are_made_anyway(
    versioned: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore lists the versions of each folder of WAL once, in place of its names."""
    asked: list[tuple[str, str]] = []
    for name in ("list", "versions_of"):
        usual = getattr(Versioned, name)

        def noted(self: Versioned, prefix: str, *, name: str = name, usual: Any = usual) -> Any:
            asked.append((name, prefix))
            return usual(self, prefix)

        monkeypatch.setattr(Versioned, name, noted)
    assert restore.main(versioned.config)["end_lsn"] == lsn.show(END)
    assert asked.count(("versions_of", layout.wal(1))) == len(SET)
    assert asked.count(("list", layout.wal(1))) == len(SET), "by the fake itself"
