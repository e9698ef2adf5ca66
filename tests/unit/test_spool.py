"""The spool: what a kill -9 at any moment leaves, and what a new ship makes of it."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from resilience.errors import Refused
from resilience.replication.spool import Hole, Spool

VAULTS = ("birch", "cedar", "elm")
DAY = 86_400


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool that began at 100, with three chunks."""
    made = Spool(tmp_path, 1, VAULTS)
    made.begin(b"start")
    made.floor(100)
    for start in (100, 200, 300):
        made.add(start, start + 100, f"chunk {start}".encode())
    return made


def again(tmp_path: Path) -> Spool:
    """What a restarted ship sees."""
    made = Spool(tmp_path, 1, VAULTS)
    made.floor(100)
    return made


def test_confirmed_is_what_k_vaults_hold(spool: Spool) -> None:
    """The second best of three for k = 2, the worst for k = 3."""
    spool.advance("birch", 400)
    spool.advance("elm", 200)
    assert [spool.confirmed(k) for k in (1, 2, 3)] == [400, 200, 100]


def test_each_vault_gets_what_it_lacks_in_order(spool: Spool) -> None:
    """From its own position on, and within a batch past the last one."""
    spool.advance("elm", 200)
    assert spool.next_for("birch") == (100, 200, b"chunk 100")
    assert spool.next_for("elm") == (200, 300, b"chunk 200")
    assert spool.next_for("elm", after=300) == (300, 400, b"chunk 300")
    assert spool.next_for("elm", after=400) is None


def test_what_all_vaults_hold_is_removed_but_the_last(spool: Spool, tmp_path: Path) -> None:
    """A dead vault keeps what it lacks; when all are through, the last chunk says where to go on."""
    for vault in VAULTS[:2]:
        spool.advance(vault, 400)
    spool.tidy()
    assert len(list((tmp_path / "00000001/wal").glob("*[!w]"))) == 3
    spool.advance("elm", 400)
    spool.tidy()
    assert len(list((tmp_path / "00000001/wal").glob("*[!w]"))) == 1
    assert again(tmp_path).end == 400


def test_files_that_nobody_needs_are_written_over(spool: Spool, tmp_path: Path) -> None:
    """Small ones are: to make and to remove one each time costs more than to write it. What is there then is the new chunk, whole."""
    folder = tmp_path / "00000001/wal"
    before = {path.stat().st_ino for path in folder.iterdir()}
    spool.add(400, 500, bytes(1 << 20))
    for vault in VAULTS:
        spool.advance(vault, 500)
    spool.add(500, 600, b"last")
    spool.tidy()
    spool.add(600, 700, b"short")
    spool.add(700, 800, b"longer than all that was there before")
    assert [path.stat().st_ino in before for path in sorted(folder.glob("*-*[!w]"))] == [False, True, True]
    restarted = again(tmp_path)
    restarted.advance("elm", 600)
    assert restarted.next_for("elm") == (600, 700, b"short")
    assert restarted.next_for("elm", after=700) == (700, 800, b"longer than all that was there before")
    assert not list(folder.glob("*.new"))


def test_a_vault_left_behind_while_its_chunk_is_read_is_given_no_other(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file may be written over meanwhile: another chunk's bytes must never go out under its name."""
    for vault in VAULTS[1:]:
        spool.advance(vault, 400)
    read, once = Path.read_bytes, [True]

    def slowly(path: Path) -> bytes:
        if once and once.pop():
            spool.advance("birch", 200)  # as leaving it behind does
            spool.tidy()
            spool.add(400, 500, b"chunk 400")
            path = next(found for found in path.parent.iterdir() if read(found) == b"chunk 400")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", slowly)
    assert spool.next_for("birch") == (200, 300, b"chunk 200")


def test_a_full_disk_leaves_nothing_of_a_chunk(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where a new file was begun nor where an old one was written over; the next begins where this one would have."""
    for vault in VAULTS:
        spool.advance(vault, 400)
    spool.tidy()  # two files are spare now

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = tmp_path / "00000001/wal"
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        for _ in range(3):
            with pytest.raises(OSError, match="No space"):
                spool.add(400, 500, b"chunk 400")
    assert spool.end == again(tmp_path).end == 400
    spool.add(400, 500, b"chunk 400")
    assert sorted(path.name[-4:] for path in folder.iterdir()) == ["0190", "01F4"]


def test_a_restart_goes_on_from_the_end(spool: Spool, tmp_path: Path) -> None:
    """Positions, pending chunks and the start record are as they were."""
    spool.advance("birch", 300)
    spool.tidy()
    restarted = again(tmp_path)
    assert restarted.start_record == b"start"
    assert restarted.end == 400
    assert restarted.held() == {"birch": 300, "cedar": 100, "elm": 100}
    assert restarted.next_for("birch") == (300, 400, b"chunk 300")


def test_a_lost_position_only_repeats(spool: Spool, tmp_path: Path) -> None:
    """A vault's note is gone or garbled after a power cut: it gets the oldest kept chunk again, never a later one."""
    for vault in VAULTS:
        spool.advance(vault, 300)
    spool.tidy()
    (tmp_path / "00000001/at/birch").unlink()
    (tmp_path / "00000001/at/elm").write_bytes(b"\0\0\0")
    restarted = again(tmp_path)
    assert restarted.next_for("birch") == (300, 400, b"chunk 300")
    assert restarted.next_for("elm") == (300, 400, b"chunk 300")
    assert restarted.held()["cedar"] == 300


def test_a_half_written_chunk_is_none(spool: Spool, tmp_path: Path) -> None:
    """Killed while writing: the file without its final name does not count and does not stay."""
    (tmp_path / "00000001/wal/0000000000000190-00000000000001F4.new").write_bytes(b"half")
    assert again(tmp_path).end == 400
    assert spool.next_for("birch", after=400) is None
    assert not list((tmp_path / "00000001/wal").glob("*.new"))


def test_backlog_is_counted(spool: Spool) -> None:
    """Chunks that a vault lacks, the disk they take, and since when."""
    assert spool.backlog("elm") == (3, 3 * 4096)
    assert spool.lag("elm") > 0
    spool.advance("elm", 400)
    assert spool.backlog("elm") == (0, 0)
    assert spool.lag("elm") == 0


@pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forward", "backward"])
def test_no_jump_of_the_clock_changes_a_lag(spool: Spool, tmp_path: Path, jump: int) -> None:
    """The clock is set while chunks wait: their files seem a day old, or of tomorrow; the lag is what has passed."""
    for path in (tmp_path / "00000001/wal").iterdir():
        os.utime(path, (time.time() - jump,) * 2)
    waited = spool.lag("elm")
    assert 0 < waited < 60
    assert spool.lag("elm") > waited
    hole = spool.leave("elm")
    assert waited < spool.lag("elm") < 60
    assert abs(time.time() - hole.since) < 60


def test_the_lag_of_what_a_ship_finds_is_its_files_age(spool: Spool, tmp_path: Path) -> None:
    """Made an hour ago, before this ship's life; a file of the future was made now."""
    for path in (tmp_path / "00000001/wal").iterdir():
        os.utime(path, (time.time() - 3600,) * 2)
    assert 3600 <= again(tmp_path).lag("elm") < 3660
    spool.leave("elm")
    note = tmp_path / "00000001/hole/elm"
    for since, told in ((time.time() - 3600, 3600), (time.time() + DAY, 0)):
        note.write_bytes(Hole(100, 400, since).encode())
        assert told <= again(tmp_path).lag("elm") < told + 60


def test_a_vault_left_behind_is_kept_nothing_for(spool: Spool, tmp_path: Path) -> None:
    """Its hole is noted before chunks go, it counts for nothing until filled, and what comes after is kept again."""
    for vault in VAULTS[:2]:
        spool.advance(vault, 400)
    hole = spool.leave("elm")
    assert (hole.start, hole.end) == (100, 400)
    assert len(list((tmp_path / "00000001/wal").glob("*[!w]"))) == 1
    assert spool.backlog("elm") == (0, 0)
    assert spool.held()["elm"] == 100
    spool.add(400, 500, b"chunk 400")
    assert spool.next_for("elm") == (400, 500, b"chunk 400")
    spool.advance("elm", 500)
    spool.tidy()
    assert spool.held()["elm"] == 100
    assert spool.lag("elm") > 0
    restarted = again(tmp_path)
    assert restarted.hole("elm") == hole
    assert not restarted.mend("elm", Hole(100, 300, hole.since)), "that is not all it lacks"
    assert restarted.mend("elm", hole)
    assert restarted.held()["elm"] == 100, "nobody looked there since: a newer epoch may have been sealed before"
    restarted.fill("elm", hole)
    assert restarted.held()["elm"] == 500
    assert again(tmp_path).hole("elm") is None


@pytest.mark.parametrize("floor", [100, None], ids=["begun", "not begun"])
def test_a_vault_left_behind_before_the_first_chunk_lacks_no_wal(tmp_path: Path, floor: int | None) -> None:
    """Only pictures wait for it yet: its hole is empty, what is shipped from then on is kept for it, and a later hole begins where WAL does."""
    made = Spool(tmp_path, 1, VAULTS)
    if floor is not None:
        made.floor(floor)
    hole = made.leave("elm")
    assert hole.start == hole.end
    made.floor(100)
    made.add(100, 200, b"chunk 100")
    assert made.next_for("elm") == (100, 200, b"chunk 100")
    for vault in VAULTS:
        made.advance(vault, 200)
    assert [made.confirmed(k) for k in (2, 3)] == [200, 100]
    filled = again(tmp_path)
    assert filled.mend("elm", hole)
    filled.fill("elm", hole)
    grown = made.leave("elm")
    assert (grown.start, grown.end) == (100, 200)


def test_left_behind_again_the_hole_grows(spool: Spool) -> None:
    """It begins where the first one did, and what was given before fills it no more."""
    assert spool.mend("elm", spool.leave("elm"))
    spool.add(400, 500, b"chunk 400")
    assert (spool.leave("elm").start, spool.leave("elm").end) == (100, 500)
    assert spool.mended("elm") is None


def test_a_vault_that_was_emptied_lacks_all_that_was(spool: Spool, tmp_path: Path) -> None:
    """Also where nothing waited for it, after a restart, and left behind once more; by force it is lost, up to where a snapshot must lead."""
    spool.floor(100)
    for vault in VAULTS:
        spool.advance(vault, 400)
    hole = spool.leave("elm", emptied=True)
    assert (hole.start, hole.end, again(tmp_path).hole("elm")) == (400, 400, hole)
    assert spool.leave("elm").emptied
    spool.write_off(["elm"])
    assert spool.gap is not None
    assert (spool.gap.start, spool.gap.end) == (100, 400)


def test_a_courier_at_work_goes_on_past_the_hole(spool: Spool) -> None:
    """What it had put of the hole does not move the vault back."""
    for vault in VAULTS[:2]:
        spool.advance(vault, 400)
    spool.leave("elm")
    spool.advance("elm", 200)
    spool.add(400, 500, b"chunk 400")
    assert spool.next_for("elm", after=200) == (400, 500, b"chunk 400")


def test_lost_wal_is_noted(spool: Spool, tmp_path: Path) -> None:
    """Postgres threw WAL away: the spool goes on after it, and says so until a snapshot leads past it."""
    spool.skip(900)
    restarted = again(tmp_path)
    assert restarted.end == 900
    assert restarted.gap is not None
    assert (restarted.gap.start, restarted.gap.end) == (400, 900)
    restarted.bridge()
    assert again(tmp_path).gap is None


def test_what_was_lost_once_no_vault_is_ever_asked_for(spool: Spool, tmp_path: Path) -> None:
    """A vault that was left behind before, and is still after, is given what lies around it; what was shipped between two losses too."""
    spool.skip(900)
    spool.bridge()
    spool.add(900, 1000, b"chunk 900")
    spool.skip(1200)
    spool.bridge()
    lost = again(tmp_path).lost
    assert [(one.start, one.end) for one in lost] == [(400, 900), (1000, 1200)]

    def left(start: int, end: int) -> list[tuple[int, int]]:
        return [(part.start, part.end) for part in Hole(start, end, 0.0).without(lost)]

    assert left(100, 1300) == [(100, 400), (900, 1000), (1200, 1300)]
    assert left(400, 1200) == [(900, 1000)]
    assert left(0, 400) == [(0, 400)]
    assert left(500, 800) == []


def test_each_ship_is_another_life(spool: Spool, tmp_path: Path) -> None:
    """A spool that is rolled back counts again what it counted, with another token."""
    spool.live()
    assert spool.life == 1
    restarted = again(tmp_path)
    with pytest.raises(Refused, match="Another ship"):
        restarted.live()
    os.close(spool._held_open)
    restarted.live()
    assert restarted.life == 2
    assert restarted.life_record != spool.life_record


def test_a_chunk_whose_name_is_not_durable_is_not_there(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is streamed again may be cut elsewhere: two chunks that begin at one position would have one name in a vault."""
    with monkeypatch.context() as broken:
        broken.setattr("resilience.replication.spool.sync", fails)
        with pytest.raises(OSError, match="Too many open files"):
            spool.add(400, 500, b"chunk 400")
    assert spool.end == 400
    spool.add(400, 600, b"a longer one")
    assert [path.name for path in (tmp_path / "00000001/wal").glob(f"{400:016X}-*")] == [f"{400:016X}-{600:016X}"]


def fails(folder: Path) -> None:
    """As where no file can be opened any more."""
    raise OSError(errno.EMFILE, "Too many open files", str(folder))


def test_what_was_written_off_is_lost_and_no_hole_of_this_life(spool: Spool, tmp_path: Path) -> None:
    """Durable before anybody goes on past it; a vault that lacks pictures alone makes no WAL lost, and none that was filled does."""
    spool.advance("birch", 400)
    nothing = spool.leave("birch")
    assert nothing.start == nothing.end
    spool.write_off(["birch"])
    assert (spool.whole("birch"), spool.gap) == (True, None)
    lacks = spool.leave("elm")
    spool.mend("elm", lacks)
    spool.write_off(["elm"])
    assert spool.gap is None
    restarted = again(tmp_path)
    restarted.write_off(["elm", "birch"])
    assert restarted.whole("elm")
    gap = again(tmp_path).gap
    assert gap is not None
    assert (gap.start, gap.end) == (lacks.start, lacks.end)


def test_what_is_kept_ends_before_what_is_lost(spool: Spool) -> None:
    """No vault can be given more than that."""
    spool.skip(900)
    assert (spool.kept_until, spool.end) == (400, 900)
