"""Errors say what, why and what next, and end in the status the table gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from resilience import errors
from resilience.errors import BrokenChain, Exit, FleetError, ResilienceError, VendorClosed
from tests.unit.test_documents import named, refused, typed


def every_error() -> Iterator[type[ResilienceError]]:
    """All classes of the tree that everybody shares; an adapter's own errors are drawn in its file."""
    waiting: list[type[ResilienceError]] = [ResilienceError]
    while waiting:
        kind = waiting.pop()
        if kind.__module__ == errors.__name__:
            yield kind
        waiting += kind.__subclasses__()


def test_an_error_is_three_short_lines() -> None:
    """What happened, why, what next: one line each, in that order."""
    error = ResilienceError("birch was not reached", "SSH was refused", "Look at its firewall")
    assert str(error).splitlines() == ["birch was not reached", "Why: SSH was refused", "Next: Look at its firewall"]


def test_nobody_whose_words_it_shows_rules_the_terminal() -> None:
    """A name in a database, or what a vendor answers, moves no cursor and turns no line around; two lines stay two, in any script."""
    error = ResilienceError("a\x1b[2Jb\rc", "\u202eno\x9b1m", "größer\n\t日本 😀")
    assert (error.what, error.why, error.next) == ("a?[2Jb?c", "?no?1m", "größer\n\t日本 😀")


@pytest.mark.parametrize("kind", list(every_error()), ids=lambda kind: kind.__name__)
def test_the_drawn_tree_is_the_real_one(kind: type[ResilienceError]) -> None:
    """Each class is drawn in the module's docstring with the exit status it has."""
    drawn = [line for line in (errors.__doc__ or "").splitlines() if f" {kind.__name__} " in f" {line.strip('├└│─ ')} "]
    assert len(drawn) == 1
    assert f" {kind.exit_code} " in drawn[0]


def test_exit_statuses_are_the_promised_ones() -> None:
    """Scripts rely on these numbers."""
    assert {status.name: int(status) for status in Exit} == {
        "DONE": 0,
        "ERROR": 1,
        "USAGE": 2,
        "MISSED": 3,
        "UNKNOWN": 4,
        "REFUSED": 5,
    }


def test_a_fleet_error_names_the_place() -> None:
    """A wrong fleet file is told by file, line or key."""
    error = FleetError("fleet.toml:7", "there is no vendor called brich", "Write birch")
    assert error.where == "fleet.toml:7"
    assert str(error).startswith("fleet.toml:7: ")
    assert error.exit_code is Exit.USAGE


def test_a_closed_account_keeps_the_vendors_word() -> None:
    """The vendor's own code is part of what happened."""
    error = VendorClosed("acorn", "AccountSuspended")
    assert (error.vendor, error.code) == ("acorn", "AccountSuspended")
    assert "AccountSuspended" in str(error).splitlines()[0]
    said = [command for command, _ in named(error.next)]
    assert said == ["resilience plan --lost acorn", "resilience protect --lost acorn"]
    assert [refused(words, whole=True) for command in said for words in typed(command)] == ["", ""]


def test_a_broken_chain_says_until_when_data_is_good() -> None:
    """What is missing and how far data is good are both told."""
    error = BrokenChain("wal/00000001/0000000001000000", "0/FFFFFF", "Look for another copy")
    assert "wal/00000001/0000000001000000" in error.what
    assert "0/FFFFFF" in error.why
