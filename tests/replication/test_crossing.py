"""A standby across a switch: what its disk has if the power goes meanwhile, and what it can do afterwards; on vaults in memory."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from resilience.errors import Refused
from resilience.replication import chunk, layout, lsn, restore, seals, standby
from resilience.replication import epoch as epochs
from resilience.replication.base import MARKER
from resilience.replication.chunk import Header, Opening, Start
from resilience.replication.follow import Follower
from resilience.replication.objects import keep
from resilience.replication.segments import Segments
from tests.replication.disks import fill, tmpfs
from tests.replication.harness import site_folder, wait_until
from tests.replication.test_behind import END, MIB, REACHED, SET, Behind, InMemory

LAST = END - MIB // 2
"""Where acorn's last chunk begins: nobody but the next opening record says that it counts."""
CUT = LAST + MIB // 4
HISTORY = f"1\t{lsn.show(CUT)}\tno recovery target specified\n"


class Disk:
    """The assembled segments as a power cut would leave them each time that `follow.json` was replaced.

    A file has what it had when it was last synced, and is there if its folder was synced since.
    """

    def __init__(self, wal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: list[tuple[dict[str, Any], dict[str, bytes]]] = []
        """What `follow.json` said, and the files by name."""
        self._wal = wal
        self._bytes: dict[int, bytes] = {}
        self._names: dict[str, int] = {}
        for path in (*(wal / "restored").iterdir(), wal / "restored"):
            self._synced(path)
        monkeypatch.setattr(os, "fsync", lambda fd: self._synced(Path(f"/proc/self/fd/{fd}").readlink()))

    def _synced(self, path: Path) -> None:
        if path == self._wal / "restored":
            self._names = {entry.name: entry.stat().st_ino for entry in path.iterdir()}
        elif path.parent == self._wal / "restored":
            self._bytes[path.stat().st_ino] = path.read_bytes()
        elif path.name == ".follow.json.new":
            files = {name: self._bytes.get(inode, b"") for name, inode in self._names.items()}
            self.left.append((json.loads(path.read_bytes()), files))


class Crossing(Behind):
    """Birch follows acorn, then cedar, which went on from the cut on a timeline of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.cedar = self._epoch("cedar")
        for record in self.fleet.records:
            self._put(layout.epoch(record.number), epochs.encode(record))

    def opening(self, end: int) -> bytes:
        """That cedar goes on from acorn, from there."""
        opening = Opening(3, self.cedar.nonce, 1, end, end, 1, "42", 1.0)
        return chunk.encode_opening(opening, seals.signer(self.fleet.keys[3]))

    def opens(self) -> None:
        """Cedar is opened, and ships as much as acorn had."""
        sign, nonce = seals.signer(self.fleet.keys[3]), self.cedar.nonce
        self._put(layout.opening(3), self.opening(CUT))
        self._put(layout.first(3), chunk.encode_start(Start(3, nonce, CUT, 2, "42", HISTORY, 1.0), sign))
        body = chunk.seal_body(self.wal[CUT - MIB :], [self.fleet.recipient])
        sha = hashlib.sha256(body).hexdigest()
        header = Header(3, nonce, "cedar", 2, "42", CUT, END, CUT, 1.0, sha)
        self._put(layout.chunk(3, CUT), chunk.encode(header, body, sign))

    def crosses(self, opens: Callable[[], None] | None = None) -> None:
        """Birch goes on from acorn to cedar; no Postgres is there to read what it delivers."""
        self.birch.take(self.cedar)
        told = json.loads(self.birch.config(standby=True).read_text()) | {"sealed": SET, "held": self.vaults}
        follower = Follower(InMemory.model_validate(told))
        with ThreadPoolExecutor(max_workers=1) as aside:
            running = aside.submit(follower.run)
            try:
                self._wait_delivered(LAST, running)
                (opens or self.opens)()
                self._wait_delivered(END, running)
            finally:
                follower.end()
            running.result()

    def _wait_delivered(self, position: int, running: Future[Any]) -> None:
        told = lsn.show(position)
        wait_until(lambda: running.done() or self.birch.standby_status().get("delivered_lsn") == told, told)


@pytest.fixture
def crossing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Crossing]:
    """That standby, before it follows."""
    monkeypatch.setattr(standby, "prepare", lambda *_: None)
    monkeypatch.setattr(standby, "alive", lambda _: True)
    with site_folder() as folder:
        yield Crossing(folder)


def test_what_follow_json_says_is_there_after_a_power_cut(
    crossing: Crossing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody writes that WAL again: both timelines' segments up to the position, and the history that joins them."""
    disk = Disk(crossing.config.paths.wal, monkeypatch)
    crossing.crosses()
    assert {(noted["epoch"], noted["timeline"]) for noted, _ in disk.left} == {(1, 1), (3, 2)}
    for at, (noted, files) in enumerate(disk.left):
        segments = Segments(tmp_path / str(at), MIB)
        for name, data in files.items():
            (segments.folder / name).write_bytes(data)
        position = lsn.parse(noted["position"])
        crossed = noted["timeline"] == 2
        end = CUT if crossed else position
        assert segments.read(1, MIB, end) == crossing.wal[: end - MIB], noted
        if crossed:
            begins = lsn.segment_start(CUT, MIB)
            assert segments.read(2, begins, position) == crossing.wal[begins - MIB : position - MIB], noted
            assert (segments.folder / "00000002.history").read_text() == HISTORY, noted


def test_a_copy_that_was_given_more_than_the_next_epoch_kept_is_made_anew(crossing: Crossing) -> None:
    """By a run that was killed before it noted that, or by a takeover that came to nothing: its Postgres may have replayed it."""
    crossing.segments.write(1, REACHED, crossing.wal[REACHED - MIB : CUT + 9 - MIB])
    with pytest.raises(Refused, match=f"held WAL past {lsn.show(CUT)}"):
        crossing.crosses()
    assert json.loads((crossing.config.paths.pg / MARKER).read_text())["state"] == "cloning"


def test_a_chunk_that_came_too_late_keeps_no_standby_from_taking_over(crossing: Crossing) -> None:
    """It lies past a cut that was crossed since, and was being read meanwhile: this copy can't have replayed it."""
    crossing.crosses()
    late = crossing.vaults["elm"].get(layout.chunk(1, LAST))
    assert late is not None
    found = chunk.decode(late, crossing.fleet.records[0])
    assert found is not None
    keep(crossing.config.paths.wal / "objects", found[0], late)
    crossing.seal_again()
    merged = restore.main(crossing.config)
    assert (merged["end_lsn"], merged["restic_s"]) == (lsn.show(END), 0), "its own files"


def test_why_nobody_knows_what_comes_next_is_said(crossing: Crossing) -> None:
    """A thief with cedar's key puts other openings into two vaults: birch waits, says for what, and goes on once they are gone."""

    def says() -> str:
        return crossing.birch.standby_status().get("next_epoch_error") or ""

    def disputed() -> None:
        for at, vault in enumerate(crossing.vaults.values()):
            vault.put_new(layout.opening(3), crossing.opening(CUT + at))
        wait_until(lambda: f"one {layout.opening(3)} that counts" in says(), says)
        for vault in crossing.vaults.values():
            vault.delete(layout.opening(3))
        crossing.opens()

    crossing.crosses(disputed)
    assert says() == ""


@pytest.fixture(params=["objects", "restored"])
def small_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Crossing, Path]]:
    """Where chunks are kept, or where Postgres finds its WAL, is a small disk."""
    monkeypatch.setattr(standby, "prepare", lambda *_: None)
    monkeypatch.setattr(standby, "alive", lambda _: True)
    with site_folder() as folder:
        small = folder / "birch/wal" / request.param
        small.mkdir(parents=True)
        with tmpfs(small, "16m"):
            yield Crossing(folder), small


def test_a_full_disk_is_told_and_gone_on_from(small_disk: tuple[Crossing, Path]) -> None:
    """It says which, and what to do; once there is room it goes on, and crosses, as if nothing had been, and says nothing more."""
    crossing, small = small_disk

    def says() -> str:
        return crossing.birch.standby_status().get("stopped") or ""

    def is_full_until_told(filling: Path) -> None:
        wait_until(lambda: f"The disk that holds {small}" in says() and "Give it room" in says(), says)
        filling.unlink()
        wait_until(lambda: not says(), says)

    def opens() -> None:
        filling = fill(small)
        crossing.opens()
        if small.name == "restored":
            is_full_until_told(filling)  # crossing itself makes room where chunks are kept

    filling = fill(small)
    with ThreadPoolExecutor(max_workers=1) as aside:
        crosses = aside.submit(crossing.crosses, opens)
        is_full_until_told(filling)
        crosses.result()
    segments, begins = Segments(crossing.config.paths.wal / "restored", MIB), lsn.segment_start(CUT, MIB)
    assert segments.read(2, begins, END) == crossing.wal[begins - MIB :]
