"""Pruning with a real restic: what was begun and failed is done by the next run, and nothing goes that may be needed."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience import caches
from resilience.errors import Refused, VaultError
from resilience.model import EpochRecord
from resilience.replication import chunk, layout, lsn, seals
from resilience.replication import epoch as epochs
from resilience.replication import label as labels
from resilience.replication import prune as pruning
from resilience.replication.chunk import Opening, Start
from resilience.replication.config import Config
from resilience.replication.label import Label
from resilience.replication.restic import STALE_S, Repository
from resilience.replication.vaults import open_vault
from tests.sftp_box import Box, sftp_box
from tests.unit.test_chunk import BY_OPERATOR, CERTIFY, KEY, LABELLED, OPERATOR, SIGN

MIB = 1 << 20
NAMES = (f"vault{n}" for n in count())
CHUNKS = 8
YEAR = 365 * 86_400.0
SEALED = hashlib.sha256(b"sealed").hexdigest()
BACKS_UP = """
import sys
from pathlib import Path
from resilience.replication.config import Config
from resilience.replication.restic import Repository
config = Config.model_validate_json(sys.stdin.read())
Repository(config.paths.restic, config.vaults[0], sys.argv[1]).backup(Path(sys.argv[2]), [], [], "acorn", "t")
"""


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """A real SFTP server."""
    with sftp_box() as made:
        yield made


class Site:
    """One vault with the WAL of its epochs, and snapshots of a small folder."""

    def __init__(self, box: Box, folder: Path) -> None:
        self.name = next(NAMES)
        spec = box.spec(self.name)
        self.vault = open_vault(spec, box.credentials["operator"])
        self.records: list[EpochRecord] = []
        self.data = folder / "pg"
        self.data.mkdir()
        self._where: dict[str, Any] = {
            "name": self.name,
            "vendor": self.name,
            "kind": "sftp",
            "bucket": spec.bucket,
            "endpoint": spec.endpoint,
            "credentials": box.credentials["operator"],
            "restic_password": "loopback-only",
            "standby_password": "loopback-alone",
        }
        self._folder = folder
        self.seal(parent=0)
        self.begin(1, 16)

    def seal(self, parent: int) -> None:
        """The next epoch, in this vault alone."""
        number = len(self.records) + 1
        bare = EpochRecord(number, "acorn", "nonce", parent, (self.name,), 1, 1, 1.0, seals.public_hex(KEY), "")
        record = replace(bare, signature=CERTIFY(epochs.payload(bare)))
        self.records.append(record)
        self.vault.put_new(layout.epoch(number), epochs.encode(record))
        self.repository(layout.repository(number)).init()

    def begin(self, number: int, mib: int) -> None:
        """Where an epoch's own WAL begins; its chunks up to 32 MiB."""
        self.vault.put_new(
            layout.first(number), chunk.encode_start(Start(number, "nonce", mib * MIB, 1, "42", "", 1.0), SIGN)
        )
        for start in range(mib * MIB, 32 * MIB, 2 * MIB):
            header = chunk.Header(number, "nonce", "acorn", 1, "42", start, start + 2 * MIB, start, 1.0, SEALED)
            self.vault.put_new(layout.chunk(number, start), chunk.encode(header, b"sealed", SIGN))

    @property
    def config(self) -> Config:
        """What the operator's machine prunes with."""
        paths = {
            name: str(self._folder / name) for name in ("media", "ledger", "outbox", "held", "spool", "wal", "run")
        }
        values = {
            "site": "acorn",
            "fleet": "fleet",
            "epoch": asdict(self.records[-1]),
            "parent_epochs": [asdict(record) for record in self.records[:-1]],
            "operator_public_key": seals.public_hex(OPERATOR),
            "vaults": [self._where],
            "paths": {**paths, "pg": str(self.data), "restic": str(caches.restic())},
            "postgres": {"dsn": "", "start": [], "stop": [], "bin": "/"},
        }
        return Config.model_validate(values)

    def repository(self, folder: str = "restic/00000001") -> Repository:
        """One of its repositories."""
        return Repository(caches.restic(), self.config.vaults[0], folder)

    def copy(self, text: str, folder: str = "restic/00000001") -> str:
        """A snapshot without a label; its id."""
        (self.data / "rows").write_text(text)
        return self.repository(folder).backup(self.data, [], [], "acorn", "t")

    def snapshot(self, mib: int, folder: str = "restic/00000001") -> str:
        """A snapshot whose WAL begins there, and its label; its id."""
        snapshot = self.copy(f"rows at {mib}", folder)
        label = self.label(snapshot, mib, folder)
        data = self.vault.get(label.key) or b""
        assert labels.decode(data, self.records[label.epoch - 1], BY_OPERATOR) == label
        return snapshot

    def label(
        self, snapshot: str, mib: int, folder: str = "restic/00000001", at: float = 1.0, sign: seals.Sign | None = None
    ) -> Label:
        """Says of a snapshot that its WAL begins there, and when it was taken; by who may, where nobody else is given."""
        places = {"start_lsn": lsn.show(mib * MIB + 9), "stop_lsn": lsn.show(mib * MIB + 99)}
        facts: dict[str, Any] = {**places, "vault": self.name, "snapshot": snapshot, "repository": folder}
        label = replace(LABELLED, epoch=int(folder[-8:]), at=at, **facts)
        signed = labels.encode(label, sign or (CERTIFY if label.by_standby else SIGN))
        assert self.vault.put_new(label.key, signed)
        return label

    def labelled(self) -> list[str]:
        """Snapshots that have a label, in order of position."""
        found = (layout.labelled(key) for key in self.vault.list(layout.LABEL))
        return [pair[0] for pair in found if pair is not None]

    def chunks(self) -> int:
        """How many chunks of WAL there are."""
        return len([key for key in self.vault.list(layout.WAL) if layout.chunk_start(key) is not None])

    def prune(self, *proven: str, really: bool = True, aged: Sequence[str] = ()) -> dict[str, Any]:
        """As the operator's machine does it."""
        return pruning.main(self.config, self.name, list(proven), list(aged), really)

    def untouched(self, *snapshots: str) -> bool:
        """Whether all of these are there, with their labels and all WAL."""
        return set(self.labelled()) == set(snapshots) == set(self.repository().snapshots()) and self.chunks() == CHUNKS

    def dies_in_mid_backup(self) -> None:
        """A site that ends while it backs up, and leaves restic's lock."""
        argv = [sys.executable, "-c", BACKS_UP, "restic/00000001", str(self.data)]
        with (self.data / "big").open("wb") as file:
            file.truncate(64 << 30)
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, text=True)
        assert process.stdin is not None
        process.stdin.write(self.config.model_dump_json())
        process.stdin.close()
        while not any(len(Path(key).name) == 64 for key in self.vault.list("restic/00000001/locks/")):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        (self.data / "big").unlink()


@pytest.fixture
def site(box: Box, tmp_path: Path) -> Site:
    """A vault of its own for each test."""
    return Site(box, tmp_path)


def test_what_restic_could_not_forget_is_forgotten_by_a_later_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead site's lock stops restic: label and WAL stay, it is said, and once the lock is old nothing is left over."""
    old, new = site.snapshot(20), site.snapshot(30)
    site.dies_in_mid_backup()
    with pytest.raises(Refused, match="restic/00000001") as refused:
        site.prune(new)
    assert "locks/" in refused.value.next
    assert site.untouched(old, new)
    now = time.time() + STALE_S + 1
    monkeypatch.setattr("resilience.replication.restic.time.time", lambda: now)
    assert site.prune(new)["snapshots"] == 1
    assert (site.labelled(), site.repository().snapshots()) == ([new], [new])
    assert site.chunks() < CHUNKS


def test_a_run_that_ended_between_forgetting_and_removing_is_completed(site: Site) -> None:
    """The snapshot is forgotten and its data still there: the label stayed, so the next run removes the data."""
    old, new = site.snapshot(20), site.snapshot(30)
    site.repository()._run("forget", old)
    packs = site.vault.list("restic/00000001/data/")
    assert site.prune(new)["snapshots"] == 1
    assert site.labelled() == [new]
    assert len(site.vault.list("restic/00000001/data/")) < len(packs)
    site.repository().check()


def test_what_no_label_names_goes_once_it_was_long_seen_so(site: Site) -> None:
    """In the base's epoch by the operator's word alone, which counts for nothing that has a label by now."""
    half, late = site.copy("half"), site.copy("late")
    base = site.snapshot(30)
    told = site.prune(base)
    assert (told["unlabelled"], set(told["waiting"])) == (0, {half, late})
    assert set(site.repository().snapshots()) == {half, late, base}
    assert site.prune(base, aged=[half, base], really=False)["unlabelled"] == 1
    told = site.prune(base, aged=[half, base])
    assert (told["unlabelled"], told["waiting"]) == (1, [late])
    assert set(site.repository().snapshots()) == {late, base}


def test_of_an_older_epoch_nothing_stays_that_no_label_names(site: Site) -> None:
    """Snapshots, and the data of one that was forgotten by a run that ended there."""
    half = site.copy("half")
    site.seal(parent=1)
    opening = Opening(2, "nonce", 1, 26 * MIB, 26 * MIB, 1, "42", 1.0)
    site.vault.put_new(layout.opening(2), chunk.encode_opening(opening, SIGN))
    site.begin(2, 26)
    base = site.snapshot(30, "restic/00000002")
    assert site.prune(base, really=False)["unlabelled"] == 1
    site.repository()._run("forget", half)
    assert site.vault.list("restic/00000001/data/")
    assert (site.prune(base)["unlabelled"], site.vault.list("restic/00000001/data/")) == (0, [])
    assert site.repository("restic/00000002").snapshots() == [base]


def test_of_all_that_was_proven_the_oldest_is_the_base(site: Site) -> None:
    """A newer one was proven first, and had to be passed over since: what lies before the older may go, nothing else."""
    first, second, third = site.snapshot(18), site.snapshot(24), site.snapshot(30)
    told = site.prune(third, second)
    assert (told["snapshots"], told["before"]) == (1, lsn.show(24 * MIB + 9))
    assert first not in site.labelled()
    assert set(site.labelled()) == {second, third} == set(site.repository().snapshots())
    with pytest.raises(VaultError, match="no label") as lacks:
        site.prune(third, first)
    assert "keep_days" in lacks.value.next


def test_what_a_thief_labels_pushes_no_good_snapshot_out(site: Site) -> None:
    """With the site's key he signs what he likes, dated back or ahead; with one of his own it counts for nothing.

    What he made up and placed before the base goes. Of the good ones none does: neither one that he calls older than it is, nor one
    behind which he placed others; and no WAL since the base. Once it is older than the base by its own label, it goes with both.
    """
    first, second, third = site.snapshot(18), site.snapshot(24), site.snapshot(30)
    made_up = [site.copy(f"made up {n}") for n in range(4)]
    now = time.time()
    before = site.label(made_up[0], 16, at=now)
    for snapshot, mib, at in ((made_up[1], 19, now - YEAR), (made_up[2], 29, now + YEAR), (made_up[3], 31, now - YEAR)):
        site.label(snapshot, mib, at=at)
    again = site.label(second, 17, at=now - YEAR)
    site.label(third, 31, at=now - YEAR)
    other = seals.signer(Ed25519PrivateKey.generate())
    for snapshot in (first, third):
        site.label(snapshot, 16, at=now - YEAR, sign=other)
    told = site.prune(first, third)
    assert (told["before"], told["snapshots"]) == (lsn.show(18 * MIB + 9), 1)
    assert set(site.repository().snapshots()) == {first, second, third, *made_up[1:]}
    true = [layout.label(1, mib * MIB + 9, snapshot) for snapshot, mib in ((first, 18), (second, 24), (third, 30))]
    kept = set(site.vault.list(layout.LABEL))
    assert (kept.issuperset(true), before.key in kept) == (True, False)
    site.repository().check()
    assert site.chunks() == CHUNKS, "the first of them may hold where the base's WAL begins"
    site.prune(third)
    assert set(site.repository().snapshots()) == {third, made_up[3]}
    assert not {again.key, *true[:2]} & set(site.vault.list(layout.LABEL))


def test_a_proven_snapshot_that_a_thief_calls_older_takes_nothing_along(site: Site) -> None:
    """By the label that he signed it is the base: what lies between stays, and both are told. One that he calls of an older epoch is no base."""
    older, proven = site.snapshot(18), site.snapshot(30)
    false = site.label(proven, 16, at=time.time() - YEAR)
    told = site.prune(proven)
    assert (told["snapshots"], told["differ"]) == (0, [false.key, layout.label(1, 30 * MIB + 9, proven)])
    assert set(site.repository().snapshots()) == {older, proven}
    assert site.chunks() == CHUNKS
    site.vault.delete(false.key)
    site.seal(parent=1)
    newer = site.snapshot(32, "restic/00000002")
    site.label(newer, 16)
    told = site.prune(newer)
    assert (told["snapshots"], told["differ"]) == (3, []), "that label goes as well"


def test_a_snapshot_that_was_cut_off_is_no_base(site: Site) -> None:
    """The live history goes on from before it, and may have the older one alone."""
    old, new = site.snapshot(18), site.snapshot(30)
    site.seal(parent=1)
    opening = Opening(2, "nonce", 1, 20 * MIB, 20 * MIB, 1, "42", 1.0)
    site.vault.put_new(layout.opening(2), chunk.encode_opening(opening, SIGN))
    history = "1\t0/1400000\tno\n"
    site.vault.put_new(layout.first(2), chunk.encode_start(Start(2, "nonce", 20 * MIB, 2, "42", history, 1.0), SIGN))
    with pytest.raises(Refused, match="cut off") as refused:
        site.prune(new)
    assert "keep_days" in refused.value.next
    assert site.untouched(old, new)


def test_nothing_goes_where_restic_lacks_what_the_base_needs(site: Site) -> None:
    """It was proven once; a pack of it is gone since."""
    old = site.snapshot(18)
    before = set(site.vault.list("restic/00000001/data/"))
    new = site.snapshot(30)
    pack = min(set(site.vault.list("restic/00000001/data/")) - before)
    site.vault.delete(pack)
    with pytest.raises(VaultError, match="restic check failed"):
        site.prune(new)
    assert site.untouched(old, new)


def test_nothing_goes_where_restic_does_not_have_the_base(site: Site) -> None:
    """Its label is still there; somebody removed what it names."""
    old, new = site.snapshot(18), site.snapshot(30)
    site.repository()._run("forget", new)
    with pytest.raises(VaultError, match=new[:8]):
        site.prune(new)
    assert (site.labelled(), site.repository().snapshots(), site.chunks()) == ([old, new], [old], CHUNKS)
