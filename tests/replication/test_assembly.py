"""Which of the chunks that bear the site's signature come to Postgres: on vaults in memory, with real chunks."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import pyrage
import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import BrokenChain, VaultError
from resilience.model import EpochRecord
from resilience.replication import chunk, layout, lsn, seals
from resilience.replication.assembly import Part, assemble
from resilience.replication.objects import Place
from resilience.replication.segments import Segments
from resilience.replication.trace import Leg
from tests.replication.test_gather import BASE, SEGMENT, SET, World

FIRST, SECOND, LAST = b"ACKED-1!", b"ACKED-2!", b"later"
WAL = FIRST + SECOND + LAST
FORGED = b"FORGED"


class Waits(MemoryVault):
    """Gives some objects only once something else has happened."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.after: dict[str, Event] = {}
        self.asked: list[str] = []

    def get(self, key: str) -> bytes | None:
        """The object, in its turn."""
        self.asked.append(key)
        if key in self.after:
            assert self.after[key].wait(120), key
        return super().get(key)


class Watched(Segments):
    """Segment files of which it is known what was ever written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, SEGMENT)
        self.written: list[tuple[int, bytes]] = []
        self.came: defaultdict[int, Event] = defaultdict(Event)

    def write(self, timeline: int, start: int, wal: bytes) -> None:
        """Write, and tell."""
        super().write(timeline, start, wal)
        self.written.append((start - BASE, wal))
        self.came[start - BASE].set()


class Site:
    """Three vaults that hold three chunks, of which all but the last was acknowledged long ago; and whoever restores."""

    def __init__(self, folder: Path, *, linked: bool = False) -> None:
        self.world = World(folder, {name: Waits(name) for name in SET})
        self.linked = linked
        self.segments = Watched(folder / "restored")
        first = self.put(0, FIRST)
        second = self.put(8, SECOND, confirmed=8, before=first if linked else "")
        self.put(16, LAST, confirmed=16, before=second if linked else "")

    def put(self, at: int, wal: bytes, *names: str, confirmed: int = 0, before: str = "") -> str:
        """A chunk that the site's key signed, where its name is free; its hash, which a later one may name."""
        data = self.world.make(BASE + at, wal, BASE + confirmed, before=before)
        for name in names or SET:
            assert self.world.vaults[name].put_new(layout.chunk(1, BASE + at), data)
        return hashlib.sha256(chunk.split(data)[1]).hexdigest()

    def take_away(self, at: int, *names: str) -> None:
        """These vaults lose a chunk, or never had it."""
        for name in names:
            self.world.vaults[name].delete(layout.chunk(1, BASE + at))

    def junk(self, at: int, kind: str, *names: str) -> None:
        """A chunk that the site's key signed, and nobody takes for WAL."""
        readers = [str(self.world.identity.to_public())]
        bodies = {
            "not-age": b"junk",
            "not-packed": seals.encrypt(b"junk", readers),
            "other-size": chunk.seal_body(b"xx", readers),
            "for-others": chunk.seal_body(b"more", [str(pyrage.x25519.Identity.generate().to_public())]),
        }
        body = bodies.get(kind, chunk.seal_body(b"more", readers))
        timeline, system = (9 if kind == "other-timeline" else 1), ("43" if kind == "other-system" else "42")
        header = chunk.Header(
            1, "nonce", "acorn", timeline, system, BASE + at, BASE + at + 4, BASE, 1.0, hashlib.sha256(body).hexdigest()
        )
        for name in names or SET:
            data = chunk.encode(header, body, seals.signer(self.world.key))
            assert self.world.vaults[name].put_new(layout.chunk(1, BASE + at), data)

    def late(self, at: int, after: int) -> None:
        """A chunk is given only once another one was written."""
        for vault in self.world.vaults.values():
            cast(Waits, vault).after[layout.chunk(1, BASE + at)] = self.segments.came[after]

    def restore(
        self, *, limit: int | None = None, accept: int | None = None, here: int | None = None, at: int = 0
    ) -> tuple[bytes, Part]:
        """What is left for Postgres, and how it came to it."""
        config: Any = SimpleNamespace(
            sealed=SET,
            record=self.world.record,
            accept_end=None if accept is None else lsn.show(BASE + accept),
            paths=SimpleNamespace(wal=self.world.folder),
            key=lambda: str(self.world.identity),
        )
        start = chunk.Start(1, "nonce", BASE, 1, "42", "", 1.0)
        leg = Leg(self.world.record, start, BASE + at, None if limit is None else BASE + limit, {})
        place = None if here is None else Place(1, BASE + here)
        (part,) = assemble(config, self.world.vaults, [leg], self.segments, place)
        return self.segments.read(1, BASE + at, part[2].end), part


@pytest.fixture(params=[False, True], ids=["alone", "linked"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Site:
    """A fresh one, whose chunks name the one before, or say nothing of it."""
    return Site(tmp_path, linked=request.param)


@pytest.mark.parametrize(("at", "after"), [(8, 9), (9, 8)])
@pytest.mark.parametrize("limit", [None, 16, 12])
def test_a_stray_leaves_no_byte(site: Site, at: int, after: int, limit: int | None) -> None:
    """Put under a free name within what was acknowledged, by whoever has the site's key: it is told, and nobody replays it.

    Also where it is the first, or the last, of both to be given.
    """
    site.put(9, FORGED, "elm")
    site.late(at, after)
    wal, (_, gathered, chain) = site.restore(limit=limit)
    assert (9, FORGED) in site.segments.written, "else no order was tried"
    assert wal == WAL[:limit]
    assert [header.start - BASE for header in chain.headers] == [0, 8, 16][: 3 if limit is None else 2]
    assert f"elm: stray {layout.chunk(1, BASE + 9)}" in gathered.healed


@pytest.mark.parametrize("forged", [FORGED, FORGED + b"-FURTHER"])
def test_a_running_standby_is_never_shown_a_stray(site: Site, forged: bytes) -> None:
    """At a takeover Postgres reads on while WAL comes: what is none of the chain was never in its files."""
    site.segments.write(1, BASE, FIRST)
    site.put(9, forged)
    site.put(21, b"more", confirmed=21)
    assert site.restore(here=8)[0] == WAL + b"more"
    assert sorted(site.segments.written[1:]) == [(8, SECOND), (16, LAST), (21, b"more")]


def test_a_running_standby_is_never_shown_what_was_cut_off(site: Site) -> None:
    """A chunk that lies across the end is written up to there."""
    site.segments.write(1, BASE, FIRST)
    assert site.restore(here=8, limit=12)[0] == WAL[:12]
    assert site.segments.written[1:] == [(8, SECOND[:4])]


def test_what_a_standby_has_is_never_written_over(tmp_path: Path) -> None:
    """A chunk that a thief puts across the end of what it was given, and that nothing else contradicts, changes nothing before it."""
    site = Site(tmp_path)
    for vault in site.world.vaults.values():
        vault.delete(layout.chunk(1, BASE + 16))
    site.segments.write(1, BASE, FIRST + SECOND)
    site.put(10, b"FORGED!")
    site.restore(here=16, at=16)
    assert site.segments.read(1, BASE, BASE + 16) == FIRST + SECOND
    assert site.segments.written[1:] == [(16, b"!")]


def test_a_stray_that_reaches_further_is_passed_by(site: Site) -> None:
    """As long as a chunk begins where the one before ends, that one goes on; what the other says is confirmed is no hole."""
    site.put(9, FORGED + b"-AND-LONGER-THAN-ALL", "elm", confirmed=1000)
    site.put(21, b"more", confirmed=21)
    site.put(25, b"than that all", confirmed=25)
    assert site.restore()[0] == WAL + b"morethan that all"


def test_chunks_with_other_bounds_join_where_they_agree(site: Site) -> None:
    """A chunk that begins before another ends, and goes on from there, is part of the chain."""
    site.put(18, b"ter-and-more", "cedar")
    wal, (_, _, chain) = site.restore()
    assert wal == WAL + b"-and-more"
    assert [header.start - BASE for header in chain.headers] == [0, 8, 16, 18]


def test_what_reaches_far_back_must_agree_with_all_of_it(site: Site) -> None:
    """Not only with the chunk before it, where it goes on past the end; the end that the error names can be accepted."""
    site.put(4, b"XXXX" + SECOND + LAST + b"!", "cedar")
    with pytest.raises(BrokenChain, match="one history") as caught:
        site.restore()
    assert_named(caught.value, 21)
    assert site.restore(accept=21)[0] == WAL


def test_a_chunk_that_agrees_may_reach_far_back(site: Site) -> None:
    """Chunks with other bounds are one history as long as their bytes are."""
    site.put(4, WAL[4:] + b"!", "cedar")
    assert site.restore()[0] == WAL + b"!"


@pytest.mark.parametrize("names", [("birch", "cedar", "elm"), ("elm", "cedar", "birch"), ("cedar", "elm", "birch")])
def test_two_chunks_of_one_name_stop(site: Site, names: tuple[str, ...]) -> None:
    """A machine was rolled back with its memory: elm has a later past, and what came after lies everywhere. No vault's word goes first."""
    site.put(21, b"OLD!", "birch", "cedar", confirmed=16)
    site.put(21, b"NEW!", "elm", confirmed=16)
    site.put(25, b"more", confirmed=16)
    site.world.vaults = {name: site.world.vaults[name] for name in names}
    for _ in range(2):  # what the first run kept here hides nothing
        with pytest.raises(
            BrokenChain, match=r"two chunks of epoch 1 begin at 0/1000015 in .*elm.* and differ"
        ) as caught:
            site.restore()
        assert_named(caught.value, 21)
    assert site.restore(accept=21)[0] == WAL
    site.world.vaults["elm"].delete(layout.chunk(1, BASE + 21))
    assert site.restore()[0] == WAL + b"OLD!more"


def test_a_shorter_chunk_of_one_name_stops_too(site: Site) -> None:
    """The older history ends within what the later one put under the same name."""
    site.put(21, b"OLD!", "birch", "cedar")
    site.put(21, b"NEW-and-longer", "elm")
    site.put(35, b"more")
    with pytest.raises(BrokenChain, match="begin at 0/1000015"):
        site.restore()
    assert site.restore(accept=21)[0] == WAL


BEGINNINGS = [
    pytest.param([(10, b"FORGED")], id="from the snapshot to the chunk's end"),
    pytest.param([(9, b"FORGED!")], id="from before the snapshot"),
    pytest.param([(7, b"1FORGED!!")], id="from before the chunk"),
    pytest.param([(10, SECOND[2:5]), (13, b"BAD")], id="in two pieces, of which the first agrees"),
    pytest.param([(7, b"1A"), (9, b"C"), (10, b"FORGED")], id="with another beginning for each"),
]


@pytest.mark.parametrize("forged", BEGINNINGS)
def test_a_snapshot_that_begins_within_a_chunk(site: Site, forged: list[tuple[int, bytes]]) -> None:
    """Where the chunk begins that holds its first byte nobody knows: what else may be it must agree, or be removed."""
    for at, wal in forged:
        site.put(at, wal)
    with pytest.raises(BrokenChain, match="hold what a snapshot begins with, and differ") as caught:
        site.restore(at=10)
    assert caught.value.good_until == f"{lsn.show(BASE + 10)}, where the snapshot begins"
    for vault in site.world.vaults.values():
        for at, _ in forged:
            vault.delete(layout.chunk(1, BASE + at))
    assert site.restore(at=10)[0] == WAL[10:]


def test_rubbish_where_a_snapshot_begins_stops_nothing(site: Site) -> None:
    """Under that very name, and signed by nobody: the chunk that holds it begins before."""
    for vault in site.world.vaults.values():
        vault.put_new(layout.chunk(1, BASE + 10), b"rubbish")
    assert site.restore(at=10)[0] == WAL[10:]


def test_a_forged_chunk_in_a_vault_that_lacked_it_is_found_by_the_next(tmp_path: Path) -> None:
    """It was confirmed, so it is read from one vault alone, here from that one; what comes after was made after another one."""
    site = Site(tmp_path, linked=True)
    site.take_away(8, "cedar")
    site.put(8, b"FORGED-2", "cedar", confirmed=8)
    site.put(21, b"more", confirmed=21)
    for _ in range(2):
        with pytest.raises(BrokenChain, match="two chunks of epoch 1 begin at 0/1000008") as caught:
            site.restore()
        assert_named(caught.value, 8)
    assert site.restore(accept=8)[0] == FIRST
    site.take_away(8, "cedar")
    assert site.restore()[0] == WAL + b"more"


def test_a_forged_chunk_that_no_vault_contradicts_is_found_by_the_next(tmp_path: Path) -> None:
    """What was there is lost everywhere, and a thief filled the hole: it is no part of what is good."""
    site = Site(tmp_path, linked=True)
    site.take_away(8, *SET)
    site.put(8, b"FORGED-2", confirmed=8)
    with pytest.raises(BrokenChain, match="at 0/1000010 goes on from another one than lies before it") as caught:
        site.restore()
    assert_named(caught.value, 8)
    assert site.restore(accept=8)[0] == FIRST


def test_a_forged_history_that_joins_where_bytes_agree_is_found(tmp_path: Path) -> None:
    """Under free names after the hole that a vault had, it comes back to the true chain within a chunk."""
    site = Site(tmp_path, linked=True)
    site.take_away(8, "cedar", "elm")
    forged = site.put(8, b"FORGE", "cedar", "elm", confirmed=8)
    site.put(13, b"D-" + SECOND[-1:] + LAST[:2], "cedar", "elm", confirmed=8, before=forged)
    with pytest.raises(BrokenChain, match="one history") as caught:
        site.restore()
    assert_named(caught.value, 8)


@pytest.mark.parametrize("strays", [0, 1, 2])
@pytest.mark.parametrize("name", SET)
def test_a_forged_history_to_past_the_end_is_found(tmp_path: Path, name: str, strays: int) -> None:
    """From the hole that one vault had, and each chunk names the one before: the true ones, which it passes by, name others."""
    site = Site(tmp_path, linked=True)
    first = hashlib.sha256(chunk.split(site.world.vaults["elm"].get(layout.chunk(1, BASE)) or b"")[1]).hexdigest()
    for at in range(strays):  # which vault is asked first depends on what lies before
        site.put(1 + at, b"x")
    site.take_away(8, name)
    forged = site.put(8, b"FORGE", name, confirmed=8, before=first)
    forged = site.put(13, b"D-EVIL", confirmed=13, before=forged)
    site.put(19, b"-MORE-", confirmed=19, before=forged)
    with pytest.raises(BrokenChain, match="one history") as caught:
        site.restore()
    assert_named(caught.value, 8)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("forged", [(b"FORGED-FOR", b"EVERxxx"), (SECOND[2:] + LAST[:2], b"EVIL-EVIL")])
def test_a_forged_history_from_where_a_snapshot_begins_is_found(
    tmp_path: Path, forged: tuple[bytes, bytes], *, named: bool
) -> None:
    """Under free names, past the end, and it may agree as far as the true chunk's end that holds the beginning."""
    site, (one, two) = Site(tmp_path, linked=True), forged
    before = site.put(10, one, confirmed=10)
    site.put(10 + len(one), two, confirmed=10, before=before if named else "")
    with pytest.raises(BrokenChain, match="one history"):
        site.restore(at=10)


def test_a_history_that_leads_nowhere_is_no_witness(tmp_path: Path) -> None:
    """Under free names, as anybody may put who has the site's key: it stops nothing, however well its chunks name each other."""
    site = Site(tmp_path, linked=True)
    forged = site.put(9, b"FOR", confirmed=8)
    forged = site.put(12, b"GE", confirmed=8, before=forged)
    site.put(14, b"D-FOR", confirmed=8, before=forged)
    assert site.restore()[0] == WAL


JUNK = ["not-age", "not-packed", "other-size", "for-others", "other-timeline", "other-system"]


@pytest.mark.parametrize("here", [None, 8, 21])
@pytest.mark.parametrize("kind", JUNK)
def test_what_opens_for_nobody_is_no_end(site: Site, kind: str, here: int | None) -> None:
    """Signed at the chain's end and in every vault: as one that is altered, it stops, and the end can be accepted. A standby's files, too."""
    if here is not None:
        site.segments.write(1, BASE, WAL[:here])
    site.junk(21, kind)
    for _ in range(2):
        with pytest.raises(BrokenChain, match=r"an unaltered chunk .* at 0/1000015") as caught:
            site.restore(here=here)
        assert_named(caught.value, 21)
    assert site.restore(here=here, accept=21)[0] == WAL
    assert b"more" not in [wal for _, wal in site.segments.written]


@pytest.mark.parametrize("kind", JUNK)
def test_what_opens_for_nobody_in_one_vault_heals(site: Site, kind: str) -> None:
    """Another vault's chunk of that name goes before it, whichever vault is asked first."""
    site.junk(21, kind, "elm")
    site.put(21, b"more", "cedar")
    wal, (_, gathered, chain) = site.restore()
    assert wal == WAL + b"more"
    assert gathered.holders(chain.headers[-1], chain.confirmed) == {"cedar"}
    assert f"elm: opens for nobody {layout.chunk(1, BASE + 21)}" in gathered.healed


def test_a_wrong_key_is_told_as_one(site: Site) -> None:
    """Where nothing opens at all, nobody is told that the chain is broken; and what this host kept stays."""
    site.restore()
    kept = sorted(path.name for path in (site.world.folder / "objects").iterdir())
    site.world.identity = pyrage.x25519.Identity.generate()
    site.segments = Watched(site.world.folder / "again")
    with pytest.raises(VaultError, match="cannot be decrypted") as caught:
        site.restore()
    assert not isinstance(caught.value, BrokenChain)
    assert sorted(path.name for path in (site.world.folder / "objects").iterdir()) == kept


def assert_named(error: BrokenChain, end: int) -> None:
    """The error says up to where data is good, and how to go on from there."""
    at = lsn.show(BASE + end)
    assert error.good_until.startswith(f"{at} (")
    assert f"--accept-end {at} " in error.next


class Moved:
    """A host that shipped under epoch 1 up to 16, and then on the same timeline under epoch 2, with another vault set."""

    ENDS = 16
    OTHER = b"2ND-SET."

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.segments = Segments(folder / "restored", SEGMENT)
        first = self.put(1, 0, FIRST, 0)
        self.second = self.put(1, 8, SECOND, 8, first)
        self.put(2, 24, LAST, 24, self.put(2, self.ENDS, self.OTHER, 16))

    @property
    def wal(self) -> bytes:
        """All of it."""
        return FIRST + SECOND + self.OTHER + LAST

    def record(self, epoch: int) -> EpochRecord:
        """Either epoch."""
        return replace(self.world.record, number=epoch, nonce=f"nonce-{epoch}", parent=epoch - 1)

    def put(
        self, epoch: int, at: int, wal: bytes, confirmed: int, before: str = "", names: tuple[str, ...] = SET
    ) -> str:
        """A chunk that the site's key signed."""
        body = chunk.seal_body(wal, [str(self.world.identity.to_public())])
        sha, record = hashlib.sha256(body).hexdigest(), self.record(epoch)
        start, end = BASE + at, BASE + at + len(wal)
        header = chunk.Header(epoch, record.nonce, "acorn", 1, "42", start, end, BASE + confirmed, 1.0, sha, before)
        for name in names:
            data = chunk.encode(header, body, seals.signer(self.world.key))
            assert self.world.vaults[name].put_new(layout.chunk(epoch, start), data)
        return sha

    def restore(self, *, here: int | None = None, accept: int | None = None) -> bytes:
        """What is left for Postgres from where epoch 1 began."""
        config: Any = SimpleNamespace(
            sealed=SET,
            record=self.record(2),
            accept_end=None if accept is None else lsn.show(BASE + accept),
            paths=SimpleNamespace(wal=self.world.folder),
            key=lambda: str(self.world.identity),
        )
        legs = [
            Leg(self.record(n), chunk.Start(n, f"nonce-{n}", at, 1, "42", "", 1.0), at, limit, {})
            for n, at, limit in ((1, BASE, BASE + self.ENDS), (2, BASE + self.ENDS, None))
        ]
        place = None if here is None else Place(2, BASE + here)
        parts = assemble(config, self.world.vaults, legs, self.segments, place)
        return self.segments.read(1, BASE, parts[-1][2].end)


@pytest.mark.parametrize("here", [None, 16, 20, 24])
def test_what_a_standby_has_of_a_later_set_stays(tmp_path: Path, here: int | None) -> None:
    """It crossed to another vault set on one timeline; the snapshot that a takeover begins with is from before: one file has both."""
    host = Moved(tmp_path)
    if here is not None:
        host.segments.write(1, BASE, host.wal[:here])
    assert host.restore(here=here) == host.wal


def test_nothing_is_written_over_an_earlier_epochs_end(tmp_path: Path) -> None:
    """A thief's chunk of epoch 2 that begins before that did, and is true from there on: what was acknowledged before stays."""
    host = Moved(tmp_path)
    host.put(2, 12, b"FORG" + host.OTHER[:4], 0, names=("elm",))
    host.put(2, 18, host.OTHER[2:4], 0, "00" * 32, names=("elm",))  # so that all that begins before is read
    assert host.restore() == host.wal


def test_an_end_that_others_went_on_from_is_not_accepted(tmp_path: Path) -> None:
    """A hole in an earlier epoch: accepting its end would leave zeros before what later ones wrote. It says how to go back there."""
    host = Moved(tmp_path)
    for vault in host.world.vaults.values():
        vault.delete(layout.chunk(1, BASE + 8))
    with pytest.raises(BrokenChain, match="WAL of epoch 1 from 0/1000008 to 0/1000010"):
        host.restore()
    with pytest.raises(VaultError, match=r"can't end at 0/1000008") as caught:
        host.restore(accept=8)
    assert "restore --site SITE --at 0/1000008 --of 1" in caught.value.next
