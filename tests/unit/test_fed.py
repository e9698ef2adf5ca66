"""What Postgres' user may put where root keeps its WAL: root writes, cuts, owns and reads nothing by it, and waits for nothing."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from resilience.errors import ResilienceError
from resilience.replication import base
from resilience.replication.chunk import Header
from resilience.replication.config import ours
from resilience.replication.objects import keep, object_path
from resilience.replication.segments import Segments

MIB = 1 << 20
POSTGRES = 64963
"""A user that is nobody on this machine, and owns what Postgres' user owns on a host."""
OWNER = (POSTGRES, POSTGRES)
HEADER = Header(1, "nonce", "acorn", 1, "42", 0, 4, 0, 1.0, "ab" * 32, "")
Plant = Callable[[Path, Path], object]
PLANTED: dict[str, Plant] = {
    "a link": lambda path, victim: path.symlink_to(victim),
    "a hard link": lambda path, victim: os.link(victim, path),  # as where the kernel does not forbid it
    "a pipe": lambda path, _: os.mkfifo(path),
    "a folder": lambda path, _: path.mkdir(),
}


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of root's."""
    path = tmp_path / "victim"
    path.write_text("root's own")
    path.chmod(0o600)
    return path


@pytest.fixture
def fed(tmp_path: Path) -> Segments:
    """A standby's WAL, of which Postgres' user has two segments."""
    made = Segments(tmp_path / "wal/restored", MIB, OWNER)
    made.write(1, 0, b"a" * (MIB + 5))
    return made


def unharmed(victim: Path) -> None:
    """It is root's as before, to the byte."""
    found = victim.stat()
    told = (victim.read_text(), found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
    assert told == ("root's own", 0, 0, 0o600)


def test_what_root_gives_postgres_is_its_own_alone(fed: Segments) -> None:
    """Where nobody planted anything: segments, a history and their folder, whole, and nothing half made is left."""
    fed.name(2, "1\t0/100\tno recovery target\n")
    fed.name(2, "1\t0/200\tno recovery target\n")
    there = {path.name: path.stat() for path in [fed.folder, *fed.folder.iterdir()]}
    names = ["restored", fed.path(1, 0).name, fed.path(1, MIB).name, "00000002.history"]
    assert sorted(there) == sorted(names)
    assert {(found.st_uid, found.st_gid) for found in there.values()} == {OWNER}
    assert [there[name].st_size for name in names[1:3]] == [MIB, MIB]
    assert (fed.folder / "00000002.history").read_text() == "1\t0/200\tno recovery target\n"
    assert fed.read(1, 0, 2 * MIB).rstrip(b"\0") == b"a" * (MIB + 5)


WRITES: dict[str, Callable[[Segments], object]] = {
    "write": lambda fed: fed.write(1, 3, b"thief's"),
    "cut": lambda fed: fed.cut(1, 3),
}
READS: dict[str, Callable[[Segments], object]] = {
    "read": lambda fed: fed.read(1, 0, 5),
    "flush": lambda fed: fed.flush(1, 0, 5),
    "branch": lambda fed: fed.branch(2, 1, 5, "thief's"),
}


@pytest.mark.parametrize(
    ("act", "what"), [*product(WRITES, PLANTED), *product(READS, [what for what in PLANTED if what != "a hard link"])]
)
def test_a_segment_that_is_none_is_refused(fed: Segments, victim: Path, act: str, what: str) -> None:
    """It is said what lies there and whose folder it is."""
    path = fed.path(1, 0)
    path.unlink()
    PLANTED[what](path, victim)
    with pytest.raises(ResilienceError, match="can't be used") as told:
        (WRITES | READS)[act](fed)
    assert str(path) in told.value.what
    assert "Postgres' user" in told.value.why
    unharmed(victim)


@pytest.mark.parametrize("what", PLANTED)
def test_a_history_is_made_anew(fed: Segments, victim: Path, what: str) -> None:
    """Whatever had its name, or that of what is half made; only a folder there is told."""
    for name in (".00000002.history.new", "00000002.history"):
        PLANTED[what](fed.folder / name, victim)
    if what == "a folder":
        with pytest.raises(ResilienceError, match="can't be used"):
            fed.name(2, "thief's")
    else:
        fed.name(2, "thief's")
        assert not (fed.folder / "00000002.history").is_symlink()
        assert (fed.folder / "00000002.history").read_text() == "thief's"
    unharmed(victim)


@pytest.mark.parametrize("what", ["a link", "a hard link", "a pipe"])
def test_a_segment_is_begun_through_nothing(fed: Segments, victim: Path, what: str) -> None:
    """A new one, whatever lies where it is half made."""
    path = fed.path(1, 2 * MIB)
    PLANTED[what](path.with_name(f".{path.name}.new"), victim)
    fed.write(1, 2 * MIB, b"wal")
    assert fed.read(1, 2 * MIB, 2 * MIB + 3) == b"wal"
    unharmed(victim)


def test_a_cut_removes_names_and_touches_no_file_behind_them(fed: Segments, victim: Path) -> None:
    """Segments past the end go, links too."""
    fed.path(1, MIB).unlink()
    fed.path(1, MIB).symlink_to(victim)
    fed.cut(1, 3)
    assert fed.read(1, 0, 5) == b"aaa\0\0"
    assert not fed.path(1, MIB).is_symlink()
    unharmed(victim)


@pytest.mark.parametrize("name", ["wal/restored", "pg/pg_wal"])
def test_a_folder_that_is_a_link_is_given_to_nobody(tmp_path: Path, name: str) -> None:
    """Nor is one that has become a link written, cut or moved into."""
    theirs, path = tmp_path / "etc", tmp_path / name
    theirs.mkdir()
    fed = Segments(path, MIB, OWNER)
    fed.write(1, 0, b"wal")
    shutil.rmtree(path)
    path.symlink_to(theirs)
    acts: list[Callable[[], object]] = [
        lambda: Segments(path, MIB, OWNER),
        lambda: fed.write(1, 0, b"wal"),
        lambda: fed.name(2, "thief's"),
        lambda: fed.cut(1, 0),
        lambda: fed.flush(1, 0, 3),
        lambda: Segments(tmp_path / "other", MIB, OWNER).move(path),
    ]
    for act in acts:
        with pytest.raises(ResilienceError, match="can't be used"):
            act()
    assert (theirs.stat().st_uid, list(theirs.iterdir())) == (0, [])


def test_a_move_brings_wal_and_leaves_the_rest(fed: Segments, tmp_path: Path, victim: Path) -> None:
    """What is half made stays behind; links are moved as links, and refused where they are used."""
    (tmp_path / "pg_wal").mkdir()
    (fed.folder / ".half.new").touch()
    fed.path(1, MIB).unlink()
    fed.path(1, MIB).symlink_to(victim)
    moved = fed.move(tmp_path / "pg_wal")
    assert sorted(path.name for path in moved.folder.iterdir()) == [fed.path(1, 0).name, fed.path(1, MIB).name]
    assert moved.read(1, 0, 3) == b"aaa"
    with pytest.raises(ResilienceError, match="can't be used"):
        moved.write(1, MIB, b"wal")
    unharmed(victim)


@pytest.mark.parametrize("what", ["a link", "a hard link", "a pipe"])
def test_a_chunks_object_is_made_anew(tmp_path: Path, victim: Path, what: str) -> None:
    """Whatever had its name."""
    PLANTED[what](object_path(tmp_path, HEADER), victim)
    keep(tmp_path, HEADER, b"sealed")
    assert object_path(tmp_path, HEADER).read_bytes() == b"sealed"
    assert not object_path(tmp_path, HEADER).is_symlink()
    unharmed(victim)


def test_what_an_earlier_version_gave_away_is_taken_back(tmp_path: Path) -> None:
    """A folder that was Postgres', and that its group may write to, is root's; a link there is refused."""
    wal = tmp_path / "wal"
    wal.mkdir()
    os.chown(wal, *OWNER)
    wal.chmod(0o770)
    ours(wal)
    found = wal.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, POSTGRES, 0o750)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, *OWNER)
    (wal / "objects").symlink_to(theirs)
    with pytest.raises(ResilienceError, match="can't be used"):
        ours(wal / "objects")
    assert theirs.stat().st_uid == POSTGRES


def test_a_finished_copy_gives_postgres_its_data_directory_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WAL's folder, and the objects in it, stay root's."""
    for name in ("pg/global", "wal/objects"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "wal/objects/object").touch()
    config: Any = SimpleNamespace(
        paths=SimpleNamespace(pg=tmp_path / "pg", wal=tmp_path / "wal"), postgres=SimpleNamespace(user="postgres")
    )
    monkeypatch.setattr(base, "owner_of", lambda _: OWNER)
    base.finish(config, SimpleNamespace(backup_label="label", control=b"control"))  # type: ignore[arg-type]
    assert {path.stat().st_uid for path in [tmp_path / "pg", *(tmp_path / "pg").rglob("*")]} == {POSTGRES}
    assert {path.stat().st_uid for path in [tmp_path / "wal", *(tmp_path / "wal").rglob("*")]} == {0}
