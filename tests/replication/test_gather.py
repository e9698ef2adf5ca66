"""Fetching, healing, and proving the end: on vaults in memory, with real chunks."""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import BrokenChain, TooFewVaults, VaultError, VaultSilent
from resilience.model import EpochRecord
from resilience.replication import chunk, layout, lsn, packing, seals
from resilience.replication.beneath import Beneath
from resilience.replication.chain import Chain
from resilience.replication.gather import Gathered
from resilience.replication.objects import Place, ends
from resilience.replication.originals import AsPut, as_put
from resilience.replication.reput import lacking
from resilience.replication.segments import Segments

BASE = 16 << 20
SEGMENT = 1 << 20
SET = ("birch", "cedar", "elm")


class Silent(MemoryVault):
    """Lists, and then does not answer."""

    def get(self, key: str) -> bytes | None:
        """Nobody is served."""
        raise VaultError(f"{self.name} could not get {key}", "timed out", "Bring it back.")


class Versioned(MemoryVault):
    """Keeps what was there before somebody wrote over it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.put_first: dict[str, bytes] = {}

    def put_new(self, key: str, data: bytes) -> bool:
        """Create, and remember."""
        self.put_first.setdefault(key, data)
        return super().put_new(key, data)

    def first(self, key: str) -> bytes | None:
        """The oldest version."""
        return self.put_first.get(key)

    def versions_of(self, prefix: str) -> tuple[list[str], frozenset[str]]:
        """What is there, and what somebody wrote over."""
        keys = self.list(prefix)
        return keys, frozenset(key for key in keys if self.objects[key] != self.put_first.get(key, self.objects[key]))


@dataclass
class World:
    """Three vaults and a site that ships a known stream of bytes into them."""

    folder: Path
    vaults: dict[str, MemoryVault] = field(default_factory=lambda: {name: MemoryVault(name) for name in SET})
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    identity: pyrage.x25519.Identity = field(default_factory=pyrage.x25519.Identity.generate)
    wal: bytes = b""
    bounds: list[tuple[int, int]] = field(default_factory=list)

    @property
    def record(self) -> EpochRecord:
        """The epoch."""
        return EpochRecord(1, "acorn", "nonce", 0, SET, 2, 2, 1.0, seals.public_hex(self.key), "")

    def make(
        self, start: int, wal: bytes, confirmed: int = BASE, key: Ed25519PrivateKey | None = None, before: str = ""
    ) -> bytes:
        """A chunk's object."""
        body = chunk.seal_body(wal, [str(self.identity.to_public())])
        sha = hashlib.sha256(body).hexdigest()
        header = chunk.Header(1, "nonce", "acorn", 1, "42", start, start + len(wal), confirmed, 1.0, sha, before)
        return chunk.encode(header, body, seals.signer(key or self.key))

    def ship(self, sizes: list[int], seed: int = 1) -> None:
        """Chunks of these sizes into every vault."""
        self.wal = random.Random(seed).randbytes(sum(sizes))
        at = BASE
        for size in sizes:
            data = self.make(at, self.wal[at - BASE : at - BASE + size])
            self.bounds.append((at, at + size))
            for vault in self.vaults.values():
                vault.put_new(layout.chunk(1, at), data)
            at += size

    def lose(self, index: int, *names: str) -> None:
        """These vaults lose a chunk."""
        for name in names or SET:
            self.vaults[name].delete(layout.chunk(1, self.bounds[index][0]))

    def alter(self, index: int, *names: str) -> None:
        """One bit of a chunk flips in these vaults."""
        key = layout.chunk(1, self.bounds[index][0])
        for name in names or SET:
            data = bytearray(self.vaults[name].objects[key])
            data[-1] ^= 1
            self.vaults[name].objects[key] = bytes(data)

    def write(self, segments: Segments, header: chunk.Header, body: bytes) -> None:
        """What arrives is written, whatever it is."""
        segments.write(header.timeline, header.start, chunk.open_body(header, body, str(self.identity)))

    def walk(
        self, sealed: tuple[str, ...] = SET, limit: int | None = None, accept: int | None = None, position: int = BASE
    ) -> tuple[Chain, Gathered, bytes]:
        """The chain, how it was gathered, and the bytes put together."""
        place = self.folder / secrets.token_hex(4)
        segments = Segments(place / "restored", SEGMENT)
        gathered = Gathered(self.record, self.vaults, sealed, place / "objects")
        chain = gathered.walk(position, limit, accept, partial(self.write, segments))
        segments.cut(1, chain.end)
        return chain, gathered, segments.read(1, BASE, chain.end)


@pytest.fixture
def world() -> Iterator[World]:
    """A fresh one."""
    with TemporaryDirectory() as folder:
        yield World(Path(folder))


def test_whole(world: World) -> None:
    """Nothing is wrong: all bytes, the proven end, nothing to heal."""
    world.ship([1000, 3 * SEGMENT, 17])
    chain, gathered, wal = world.walk()
    assert wal == world.wal
    assert chain.end == BASE + len(world.wal)
    assert gathered.healed == []


def test_missing_in_one_vault_heals(world: World) -> None:
    """Each vault lacks another chunk, and the chain is whole."""
    world.ship([100] * 6)
    for index, name in enumerate(SET):
        world.lose(index + 1, name)
    assert world.walk()[2] == world.wal


def test_what_this_host_kept_heals_and_is_looked_at_before_it_is_put(world: World) -> None:
    """A standby's copies stand in for what every vault lost; rotten ones are taken from a vault, or put nowhere."""
    world.ship([100] * 6)
    _, gathered, _ = world.walk()
    reached = Place(1, BASE + 600)
    again = Gathered(world.record, world.vaults, SET, gathered._folder, reached)
    kept = sorted(gathered._folder.iterdir())
    assert [ends(path) for path in kept] == [Place(1, end) for _, end in world.bounds]
    kept[1].write_bytes(kept[1].read_bytes()[:-1] + b"?")
    kept[2].write_bytes(kept[2].read_bytes().replace(b'"epoch"', b'"epoxh"'))
    kept[3].write_bytes(kept[3].read_bytes().replace(b'"site":"acorn"', b'"site":"adorn"'))
    world.lose(4)
    chain = again.walk(BASE + 100, None, None, lambda *_: None)
    assert chain.end == BASE + 600
    for header in chain.headers:
        if header.start == BASE + 300:
            for _ in range(2):  # every vault that lacks it asks
                with pytest.raises(VaultError, match="altered on this host"):
                    again.object(header)
            assert not kept[3].exists()
        else:
            assert chunk.decode(again.object(header), world.record)


def test_missing_in_all_is_a_broken_chain(world: World) -> None:
    """The error names the first missing byte, the next one there, and up to when data is good."""
    world.ship([100] * 6)
    world.lose(3)
    with pytest.raises(BrokenChain, match=f"from {lsn.show(BASE + 300)} to {lsn.show(BASE + 400)}") as caught:
        world.walk()
    assert caught.value.good_until.startswith(lsn.show(BASE + 300))


def test_a_loss_accepted_by_name(world: World) -> None:
    """With the end accepted by the operator the chain stops there, and nothing behind it is left to replay."""
    world.ship([100] * 6)
    world.lose(3)
    chain, _, wal = world.walk(accept=BASE + 300)
    assert chain.end == BASE + 300
    assert wal == world.wal[:300]


def test_altered_in_one_vault_heals(world: World) -> None:
    """A flipped bit in any vault is found by the signature, and another copy is used."""
    world.ship([100] * 3)
    for index, name in enumerate(SET):
        world.alter(index, name)
    chain, gathered, wal = world.walk()
    assert wal == world.wal
    assert all(
        ("birch", h.start) not in gathered._altered or "birch" not in gathered.holders(h, chain.confirmed)
        for h in chain.headers
    )


def test_what_was_written_over_is_read_as_it_was_put(world: World) -> None:
    """A thief writes over everything in every vault: where versions are kept, nothing is lost and each vault still counts."""
    world.vaults = {name: Versioned(name) for name in SET}
    world.ship([100] * 3)
    for index in range(3):
        world.alter(index)
    chain, gathered, wal = world.walk()
    assert wal == world.wal
    assert all(gathered.holders(header, chain.confirmed) for header in chain.headers)
    assert all(gathered.altered_in(name, chain) == [] for name in SET)


class Noting(Versioned):
    """Remembers below what its versions were asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked: list[str] = []

    def versions_of(self, prefix: str) -> tuple[list[str], frozenset[str]]:
        """As ever."""
        self.asked.append(prefix)
        return super().versions_of(prefix)


def test_a_record_of_an_epoch_is_looked_for_by_its_name() -> None:
    """Whoever reads where an older epoch ended wants none of its chunks, and they may be hundreds of thousands."""
    vault = Noting("elm")
    for key in (layout.opening(1), layout.first(1), layout.chunk(1, BASE)):
        vault.put_new(key, b"as it was put")
        vault.objects[key] = b"written over"
    seen = AsPut(vault)
    assert {seen.get(layout.opening(1)), seen.get(layout.first(1))} == {b"as it was put"}
    assert vault.asked == [layout.opening(1), layout.first(1)]
    assert seen.get(layout.chunk(1, BASE)) == b"as it was put"
    assert vault.asked[2:] == [layout.wal(1)]


class Closed(Versioned):
    """Lists no versions for whoever reads."""

    def versions_of(self, prefix: str) -> tuple[list[str], frozenset[str]]:
        """Not for you."""
        raise VaultError(
            f"{self.name} could not list the versions below {prefix}", "AccessDenied", "Look at its rights."
        )


class Hung(Versioned):
    """Does not answer who asks for versions."""

    def versions_of(self, prefix: str) -> tuple[list[str], frozenset[str]]:
        """Nothing comes."""
        raise VaultSilent(f"{self.name} did not answer", "timed out", "Bring it back.")


def test_where_versions_may_not_be_listed_the_newest_are_read() -> None:
    """A refusal leaves the vault as readable as it was; silence says nothing of what was written over."""
    key = layout.chunk(1, BASE)
    for vault in (closed := Closed("elm")), (hung := Hung("fir")):
        vault.put_new(key, b"as it was put")
        vault.objects[key] = b"written over"
    assert (AsPut(closed).get(key), AsPut(closed).list(layout.wal(1))) == (b"written over", [key])
    with pytest.raises(VaultSilent):
        AsPut(hung).get(key)


def test_a_rehearsal_reads_its_own_as_it_is_and_the_fleets_as_it_was_put() -> None:
    """What lies beneath its name was put by nobody else."""
    fleets, own = layout.chunk(1, BASE), layout.chunk(2, BASE)
    vault = Versioned("elm")
    for key in (fleets, own, f"rehearsal/r1/{own}"):
        vault.put_new(key, b"as it was put")
        vault.objects[key] = b"written over"
    seen = as_put({"elm": Beneath(vault, "rehearsal/r1/")})["elm"]
    assert (seen.get(fleets), seen.get(own)) == (b"as it was put", b"written over")
    assert seen.list(layout.wal(2)) == [own]


def test_what_is_too_large_for_a_chunk_is_altered(world: World) -> None:
    """Whoever may put one in the place of a chunk keeps nobody from what other vaults hold, and where all have one the end is not unproven but spoilt."""
    world.ship([100] * 3)
    large = bytes(20 << 20)
    world.vaults["birch"].objects[layout.chunk(1, world.bounds[1][0])] = large
    chain, gathered, wal = world.walk()
    assert wal == world.wal
    assert gathered.altered_in("birch", chain) == [layout.chunk(1, world.bounds[1][0])]
    for vault in world.vaults.values():
        vault.objects[layout.chunk(1, world.bounds[2][1])] = large
    with pytest.raises(BrokenChain, match="altered in birch, cedar, elm"):
        world.walk()


def test_the_largest_chunk_has_room(world: World) -> None:
    """As much WAL as is unpacked at all, which nothing makes smaller, for as many recipients as nobody has."""
    body = chunk.seal_body(random.Random(1).randbytes(packing.LIMIT), [str(world.identity.to_public())] * 1000)
    assert len(body) + chunk.HEADER_LIMIT < layout.most(layout.chunk(1, BASE))
    assert (
        layout.most(f"rehearsal/r1/{layout.chunk(1, BASE)}")
        == layout.most(f"elm/{layout.chunk(1, BASE)}")
        == layout.CHUNK
    )
    assert layout.most("state/wal/1.json") == layout.FILE
    assert layout.most("elm/restic/00000001/data/ab") == layout.ANY


def test_altered_in_all_is_a_broken_chain(world: World) -> None:
    """Even as the very last chunk: what is there and cannot be read is not the end."""
    world.ship([100] * 3)
    world.alter(2)
    with pytest.raises(BrokenChain, match="altered in birch, cedar, elm"):
        world.walk()


def test_altered_here_and_absent_there_is_not_the_end(world: World) -> None:
    """The last chunk is altered in one vault and gone from the others: it may have been confirmed."""
    world.ship([100] * 3)
    world.lose(2, "cedar", "elm")
    world.alter(2, "birch")
    with pytest.raises(BrokenChain, match="altered in birch"):
        world.walk()


def test_signed_by_another_site_is_altered(world: World) -> None:
    """A chunk that somebody else signed counts as altered."""
    world.ship([100] * 2)
    forged = world.make(BASE + 100, b"x" * 100, key=Ed25519PrivateKey.generate())
    world.vaults["birch"].objects[layout.chunk(1, BASE + 100)] = forged
    assert world.walk()[2] == world.wal


def test_a_silent_sealed_vault_leaves_the_end_unproven(world: World) -> None:
    """Without its 404 nobody knows whether it holds one more acknowledged chunk."""
    world.ship([100] * 2)
    world.vaults["elm"] = Silent("elm")
    with pytest.raises(TooFewVaults, match="elm: timed out"):
        world.walk()


def test_a_silent_vault_that_was_not_sealed_does_not_matter(world: World) -> None:
    """Two sealed vaults of three meet every confirmed chunk."""
    world.ship([100] * 2)
    world.vaults["elm"] = Silent("elm")
    assert world.walk(sealed=("birch", "cedar"))[2] == world.wal


def test_a_tail_in_one_vault_only_is_used(world: World) -> None:
    """What only one vault holds may have been acknowledged with one that is lost."""
    world.ship([100] * 4)
    world.lose(3, "birch", "elm")
    chain, gathered, wal = world.walk()
    assert wal == world.wal
    assert gathered.holders(chain.headers[-1], chain.confirmed) == {"cedar"}


class Flaky(MemoryVault):
    """Lists all, and fails to give one object."""

    lost = ""

    def get(self, key: str) -> bytes | None:
        """All but that one."""
        if key == self.lost:
            raise VaultError(f"{self.name} could not get {key}", "500", "Try again.")
        return super().get(key)


def test_what_a_vault_fails_to_give_is_no_copy(world: World) -> None:
    """Before it was confirmed, a chunk that a vault lists and does not give counts for nothing there, wherever in the chain it is."""
    world.vaults["elm"] = elm = Flaky("elm")
    world.ship([100] * 3)
    elm.lost = layout.chunk(1, world.bounds[1][0])
    chain, gathered, wal = world.walk()
    assert wal == world.wal
    assert gathered.holders(chain.headers[1], chain.confirmed) == {"birch", "cedar"}
    assert [key for key, _ in lacking("elm", [(gathered, chain)])] == [elm.lost]


def test_a_listing_proves_no_copy(world: World) -> None:
    """What was not confirmed yet is read in every vault: an altered copy there is no copy, and it is told."""
    world.ship([100] * 6)
    world.alter(2, "elm")
    world.alter(3, "birch")
    chain, gathered, wal = world.walk()
    assert wal == world.wal
    assert gathered.holders(chain.headers[2], chain.confirmed) == {"birch", "cedar"}
    assert gathered.holders(chain.headers[3], chain.confirmed) == {"cedar", "elm"}
    assert gathered.altered_in("elm", chain) == [layout.chunk(1, world.bounds[2][0])]


def test_a_stale_listing_is_no_end(world: World) -> None:
    """Chunks that no listing names are found by their exact names."""
    world.ship([100] * 4)
    for vault in world.vaults.values():
        keys = vault.list("wal/")[:2]
        vault.list = lambda _, keys=keys: keys  # type: ignore[method-assign, misc]
    assert world.walk()[2] == world.wal


def test_the_limit_is_the_end(world: World) -> None:
    """Chunks that a fenced site put after the recorded end are not read."""
    world.ship([100] * 4)
    chain, _, wal = world.walk(limit=BASE + 200)
    assert (chain.end, wal) == (BASE + 200, world.wal[:200])


def test_a_chain_short_of_its_limit_is_broken(world: World) -> None:
    """The recorded end was held by k vaults: less is a loss."""
    world.ship([100] * 2)
    with pytest.raises(BrokenChain, match=f"from {lsn.show(BASE + 200)} to {lsn.show(BASE + 300)}"):
        world.walk(limit=BASE + 300)


def test_a_chunk_for_somebody_else_cannot_be_opened(world: World) -> None:
    """The identity must be among the recipients."""
    world.ship([100])
    world.identity = pyrage.x25519.Identity.generate()
    with pytest.raises(VaultError, match="cannot be decrypted"):
        world.walk()


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=8),
    lost=st.sets(st.tuples(st.integers(0, 7), st.sampled_from(SET))),
    altered=st.sets(st.tuples(st.integers(0, 7), st.sampled_from(SET))),
    tails=st.tuples(*[st.integers(0, 8)] * 3),
)
def test_never_less_than_it_says(
    sizes: list[int], lost: set[tuple[int, str]], altered: set[tuple[int, str]], tails: tuple[int, int, int]
) -> None:
    """Whatever is lost or altered: either every byte that is somewhere whole, or an error, never a silent gap."""
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.ship(sizes)
        count = len(sizes)
        for name, tail in zip(SET, tails, strict=True):
            for index in range(min(tail, count), count):
                world.lose(index, name)
        whole = {
            (i, n) for i in range(count) for n in SET if layout.chunk(1, world.bounds[i][0]) in world.vaults[n].objects
        }
        for index, name in altered & whole:
            world.alter(index, name)
        for index, name in lost & whole:
            world.lose(index, name)
        good = whole - altered - lost
        left = (whole & altered) - lost
        run = next((i for i in range(count) if not any((i, n) in good for n in SET)), count)
        more = any(i > run for i, _ in good | left)
        doubtful = any(i == run for i, _ in left)
        if more or doubtful:
            with pytest.raises(BrokenChain):
                world.walk()
        else:
            chain, _, wal = world.walk()
            assert chain.end == (world.bounds[run - 1][1] if run else BASE)
            assert wal == world.wal[: chain.end - BASE]
