"""The journal as a file: durable lines, a torn last one, and nothing else forgiven."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from resilience.adapters.journal_file import JournalDamaged, JournalFile
from resilience.model import Event
from tests.journals import healthy


@pytest.fixture
def journal(tmp_path: Path) -> JournalFile:
    """A journal that does not exist yet, in a folder that does not exist yet."""
    return JournalFile(tmp_path / "report" / "journal.jsonl")


def test_a_journal_that_does_not_exist_is_empty(journal: JournalFile) -> None:
    """Reading makes no file."""
    assert journal.read() == []
    assert not journal.path.exists()


def test_what_is_written_is_read(journal: JournalFile) -> None:
    """A whole drill comes back line by line."""
    events = healthy()
    for event in events:
        journal.append(event)
    assert JournalFile(journal.path).read() == events


def test_the_moment_a_thing_happened_wins_over_when_it_was_written(journal: JournalFile) -> None:
    """`at` in the data is when it happened; the line keeps that one."""
    journal.append(Event(50.0, "journey", {"at": 48.5, "ok": True}))
    (event,) = journal.read()
    assert event == Event(48.5, "journey", {"ok": True})


@pytest.mark.parametrize("torn", [b'{"at":3', b'{"at":3.0,"kind":"fault"', b"\x00\x00\x00", b"\xff", b"17"])
def test_a_torn_last_line_is_left_out_and_then_removed(journal: JournalFile, torn: bytes) -> None:
    """A crash while writing loses only what nobody was told was kept; the next line is whole."""
    journal.append(Event(1.0, "fault", {}))
    with journal.path.open("ab") as file:
        file.write(torn)
    assert [e.at for e in journal.read()] == [1.0]
    journal.append(Event(2.0, "decided", {}))
    assert [e.at for e in journal.read()] == [1.0, 2.0]
    assert torn not in journal.path.read_bytes()


def test_a_whole_last_line_without_its_break_is_kept(journal: JournalFile) -> None:
    """Only the line break was lost."""
    journal.append(Event(1.0, "fault", {}))
    journal.path.write_bytes(journal.path.read_bytes().rstrip(b"\n"))
    assert [e.at for e in journal.read()] == [1.0]
    journal.append(Event(2.0, "decided", {}))
    assert [e.at for e in journal.read()] == [1.0, 2.0]


def test_a_long_torn_line_is_removed_whole(journal: JournalFile) -> None:
    """A torn line longer than one read is taken away up to the line before it."""
    journal.append(Event(1.0, "fault", {}))
    with journal.path.open("ab") as file:
        file.write(b'{"at":1,"kind":"' + b"x" * 20_000)
    journal.append(Event(2.0, "decided", {}))
    assert [e.at for e in journal.read()] == [1.0, 2.0]


@pytest.mark.parametrize("bad", [b"\n", b"{}\n", b"[1]\n", b'{"at":"x","kind":"y"}\n', b'{"at":1,"ki\n'])
def test_an_altered_line_is_refused_with_its_number(journal: JournalFile, bad: bytes) -> None:
    """A bad line with a line break was not torn by a crash; the error names the file and the line."""
    journal.append(Event(1.0, "fault", {}))
    with journal.path.open("ab") as file:
        file.write(bad)
    with pytest.raises(JournalDamaged) as caught:
        journal.read()
    assert f"{journal.path}, line 2" in caught.value.what


def test_a_number_that_json_has_no_word_for_is_not_written(journal: JournalFile) -> None:
    """NaN is no JSON: the line is refused, and the journal stays whole."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.append(Event(float("nan"), "fault", {}))
    assert journal.read() == []


def _append_many(path: Path, who: str) -> None:
    journal = JournalFile(path)
    for number in range(40):
        journal.append(Event(float(number), who, {"filler": "x" * 3000}))


def test_two_processes_keep_every_line_whole(journal: JournalFile) -> None:
    """Lines of several writers interleave and never mix."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(journal.path, who)) for who in ("one", "two")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    kinds = [e.kind for e in journal.read()]
    assert (kinds.count("one"), kinds.count("two")) == (40, 40)
