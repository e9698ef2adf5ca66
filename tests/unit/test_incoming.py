"""What a standby is given: nothing that the promoter of a later epoch could miss."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.model import EpochRecord
from resilience.replication import chunk, layout
from resilience.replication.chunk import Header, Start
from resilience.replication.incoming import Incoming
from resilience.replication.reader import Reader
from resilience.replication.trace import Leg
from tests.replication.test_gather import Versioned
from tests.unit.test_chunk import EPOCH, IDENTITY, SIGN

START = Start(EPOCH.number, EPOCH.nonce, 0, 1, "77", "", 0.0)
RECORD: EpochRecord = EPOCH


def header(start: int, end: int, confirmed: int = 0, before: str = "") -> Header:
    """A chunk's own words."""
    return Header(RECORD.number, RECORD.nonce, RECORD.site, 1, "77", start, end, confirmed, 5.0, f"{start:x}", before)


@pytest.fixture
def incoming() -> Incoming:
    """A leg of which nothing was read yet."""
    return Incoming(Leg(RECORD, START, 0, None, {}), 0, lambda: None)


def ends(incoming: Incoming) -> list[int]:
    """Where the chunks end that may be delivered."""
    return [found.end for found in incoming.deliverable()]


def test_what_k_vaults_hold_counts_once_each_was_looked_at(incoming: Incoming) -> None:
    """Reading is not enough: each of them must have shown no newer epoch after it was read."""
    first, second = RECORD.vaults[:2]
    for vault in (first, second):
        incoming.holds(vault, header(0, 10))
    assert ends(incoming) == []
    incoming.looked(first)
    assert ends(incoming) == []
    incoming.looked(second)
    assert ends(incoming) == [10]
    incoming.holds(first, header(10, 20))
    incoming.holds(second, header(10, 20))
    incoming.looked(first)
    assert ends(incoming) == [10]


def test_what_the_slowest_vault_holds_after_it_was_delivered_waits_for_nothing(incoming: Incoming) -> None:
    """Else a standby that has everything would call itself further behind each second that the primary writes nothing."""
    *first, slowest = RECORD.vaults[:3]
    for vault in first:
        incoming.holds(vault, header(0, 10))
        incoming.looked(vault)
    assert incoming.waiting() == header(0, 10).at
    incoming.delivered(incoming.deliverable()[0])
    incoming.holds(slowest, header(0, 10))
    assert incoming.waiting() is None
    assert not incoming.doubtful(slowest)
    incoming.holds(slowest, header(10, 20))
    assert incoming.waiting() == header(10, 20).at


def test_a_later_chunk_vouches_for_what_it_calls_confirmed(incoming: Incoming) -> None:
    """One vault is enough then; the chunk that says so is not covered by itself."""
    incoming.holds(RECORD.vaults[0], header(0, 10))
    incoming.holds(RECORD.vaults[0], header(10, 20, confirmed=10))
    assert ends(incoming) == [10]
    incoming.delivered(incoming.deliverable()[0])
    assert (incoming.position, ends(incoming)) == (10, [])


def test_a_vault_that_is_not_the_epochs_counts_for_nothing(incoming: Incoming) -> None:
    """Whoever else holds a copy took no part in the quorum."""
    for vault in ("nobody", "else"):
        incoming.holds(vault, header(0, 10))
        incoming.looked(vault)
    assert ends(incoming) == []


def test_an_opening_record_cuts_and_settles(incoming: Incoming) -> None:
    """All before the cut may be delivered, a chunk across it as far as the cut, and nothing behind."""
    incoming.holds(RECORD.vaults[0], header(0, 10))
    incoming.holds(RECORD.vaults[0], header(10, 20))
    incoming.holds(RECORD.vaults[0], header(20, 30))
    incoming.cut(15)
    found = incoming.deliverable()
    assert [incoming.end_of(one) for one in found] == [10, 15]
    for one in found:
        incoming.delivered(one)
    assert incoming.done
    assert incoming.position == 15
    incoming.cut(25)  # nothing was written under that epoch, and who was promoted after it had found more
    assert not incoming.done
    assert [incoming.end_of(one) for one in incoming.deliverable()] == [20, 25]


@pytest.mark.parametrize("delivered", [False, True])
def test_a_chunk_that_was_made_after_another_one_stops(incoming: Incoming, *, delivered: bool) -> None:
    """One vault alone shows what somebody put where it lacked a chunk, and the next one calls that confirmed."""
    vault = RECORD.vaults[0]
    for one in RECORD.vaults[: 2 if delivered else 1]:
        incoming.holds(one, header(0, 10))
        incoming.holds(one, header(10, 20, confirmed=10))
        incoming.looked(one)
    if delivered:
        for found in incoming.deliverable():
            incoming.delivered(found)
        assert incoming.position == 20
    incoming.holds(vault, header(20, 30, confirmed=20, before="another"))
    incoming.holds(vault, header(30, 40, confirmed=30, before="14"))
    assert ends(incoming) == ([] if delivered else [10])
    assert (incoming.stopped or "").startswith("Two histories part before 0/14")


def put(vault: MemoryVault, start: int, end: int, body: bytes | None = None, before: str = "") -> str:
    """A real chunk in a vault; its hash."""
    body = body or chunk.seal_body(b"x" * (end - start), [str(IDENTITY.to_public())])
    sha = hashlib.sha256(body).hexdigest()
    made = Header(RECORD.number, RECORD.nonce, RECORD.site, 1, "77", start, end, 0, 5.0, sha, before)
    vault.put_new(layout.chunk(RECORD.number, start), chunk.encode(made, body, SIGN))
    return sha


def whole(vaults: list[MemoryVault], start: int, end: int) -> None:
    """The same chunk in all of them."""
    body = chunk.seal_body(b"x" * (end - start), [str(IDENTITY.to_public())])
    for vault in vaults:
        put(vault, start, end, body)


def test_readers_look_and_pass_over_a_hole(incoming: Incoming, tmp_path: Path) -> None:
    """A chunk is kept once, whoever else has it; where a newer epoch shows, nothing is settled by reading."""
    vaults = [MemoryVault(name) for name in RECORD.vaults[:2]]
    whole(vaults, 0, 10)
    readers = [Reader(vault, lambda: incoming, tmp_path, 0.01, str(IDENTITY)) for vault in vaults]
    assert [reader.step() for reader in readers] == [True, True]
    assert ends(incoming) == []
    assert [reader.step() for reader in readers] == [False, False]
    assert ends(incoming) == [10]
    assert len(list(tmp_path.iterdir())) == 1
    whole(vaults, 10, 20)
    for vault in vaults:
        vault.put_new(layout.epoch(RECORD.number + 1), b"newer")
    assert [reader.step() for reader in readers] == [True, True]
    assert [reader.step() for reader in readers] == [False, False]
    assert ends(incoming) == [10]


def test_a_vault_that_had_nothing_near_the_beginning_is_read_once_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby begins in the middle of a chunk, whose name a vault that is far behind can't tell."""
    monkeypatch.setattr("resilience.replication.reader.SKIP", 0.0)
    begins = 3 * layout.NEAR
    incoming = Incoming(Leg(RECORD, START, begins, None, {}), begins, lambda: None)
    vaults = [MemoryVault(name) for name in RECORD.vaults[:3]]
    whole(vaults[:2], begins - 5, begins + 5)
    readers = [Reader(vault, lambda: incoming, tmp_path, 0.01, str(IDENTITY)) for vault in vaults]

    def read() -> None:
        for one in readers * 3:
            one.step()
        for found in incoming.deliverable():
            incoming.delivered(found)

    read()
    assert incoming.position == begins + 5
    read()
    whole(vaults, begins + 5, begins + 15)
    read()
    assert [one.position for one in readers] == [begins + 15] * 3
    assert [one.holes for one in readers] == [0, 0, 1]
    whole(vaults[1:], begins + 15, begins + 25)
    read()
    assert incoming.position == begins + 25, "the third vault counts"


@pytest.mark.parametrize("size", [7, layout.CHUNK + 1])
def test_an_altered_chunk_counts_as_absent(incoming: Incoming, tmp_path: Path, size: int) -> None:
    """What was not signed for this epoch is not kept, and what is larger than any chunk no failure of its vault."""
    vault = MemoryVault(RECORD.vaults[0])
    vault.put_new(layout.chunk(RECORD.number, 0), bytes(size))
    reader = Reader(vault, lambda: incoming, tmp_path, 0.01, str(IDENTITY))
    assert not reader.step()
    assert reader.errors == {"Altered": 1}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_chunks_of_one_name_are_not_counted_as_one(
    incoming: Incoming, tmp_path: Path, order: tuple[int, int]
) -> None:
    """Vaults that hold other bytes under one name hold two histories: nothing is delivered from there on, and it is told."""
    vaults = [MemoryVault(name) for name in RECORD.vaults[:2]]
    whole(vaults, 0, 10)
    for vault in vaults:
        put(vault, 10, 20)
    whole(vaults, 20, 30)
    readers = [Reader(vaults[place], lambda: incoming, tmp_path, 0.01, str(IDENTITY)) for place in order]
    for reader in readers * 5:
        reader.step()
    assert ends(incoming) == [10]
    assert incoming.stopped is not None
    assert f"what {RECORD.vaults[order[1]]} holds is another chunk" in incoming.stopped
    assert readers[1].errors["Forked"] > 0
    assert len(list(tmp_path.iterdir())) == 3, "of both that begin alike one is kept"


def test_what_opens_for_nobody_counts_as_absent(incoming: Incoming, tmp_path: Path) -> None:
    """The site's key signed it in one vault; what the others hold under that name is delivered."""
    vaults = [MemoryVault(name) for name in RECORD.vaults[:3]]
    put(vaults[0], 0, 10, b"junk")
    whole(vaults[1:], 0, 10)
    readers = [Reader(vault, lambda: incoming, tmp_path, 0.01, str(IDENTITY)) for vault in vaults]
    for reader in readers * 3:
        reader.step()
    assert ends(incoming) == [10]
    assert incoming.stopped is None
    assert readers[0].errors == {"Altered": 3}
    assert len(list(tmp_path.iterdir())) == 1


def test_what_was_written_over_while_a_standby_was_behind_is_read_as_it_was_put(
    incoming: Incoming, tmp_path: Path
) -> None:
    """All vaults hold his by now, and the site's key signed it; of each 16 MiB the versions are listed once."""
    vaults = [Versioned(name) for name in RECORD.vaults[:2]]
    whole([*vaults], 0, 10)
    put_first = vaults[0].objects[layout.chunk(RECORD.number, 0)]
    his = MemoryVault("his")
    put(his, 0, 10, chunk.seal_body(b"y" * 10, [str(IDENTITY.to_public())]))
    for vault in vaults:
        vault.objects.update(his.objects)
    readers = [Reader(vault, lambda: incoming, tmp_path, 0.01, str(IDENTITY)) for vault in vaults]
    for reader in readers * 2:
        reader.step()
    assert ends(incoming) == [10]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [put_first]
