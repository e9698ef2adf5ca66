"""What may pile up for vaults that don't take it, and what happens then."""

from __future__ import annotations

import pytest

from resilience.replication.limits import Decision, Rules, decide

ALL = frozenset({"birch", "cedar", "elm"})
NOTHING = Decision((), stop=False)
STOP = Decision((), stop=True)


@pytest.mark.parametrize(
    ("past", "backlog", "whole", "kept", "stopped", "expected"),
    [
        ("drop", {"elm": 100}, ALL, 0, False, NOTHING),
        ("drop", {"elm": 101}, ALL, 0, False, Decision(("elm",), stop=False)),
        ("stop", {"elm": 101}, ALL, 0, False, STOP),
        ("drop", {"elm": 101, "cedar": 101}, ALL, 0, False, STOP),
        ("drop", {"elm": 101}, ALL - {"birch"}, 0, False, STOP),
        ("drop", {"elm": 101}, ALL - {"elm"}, 0, False, Decision(("elm",), stop=False)),
        ("drop", {}, ALL, 101, False, STOP),
        ("stop", {"elm": 51}, ALL, 0, True, STOP),
        ("stop", {"elm": 50}, ALL, 0, True, NOTHING),
        ("drop", {"elm": 51}, ALL, 0, True, Decision(("elm",), stop=False)),
    ],
    ids=[
        "at the limit",
        "past it the vault is left",
        "or writes stop",
        "never fewer than k",
        "one has a hole already",
        "the same one again",
        "WAL that Postgres keeps",
        "writes go on at half",
        "and not before",
        "a hole ends a stop",
    ],
)
def test_decisions(
    past: str, backlog: dict[str, int], whole: frozenset[str], kept: int, expected: Decision, *, stopped: bool
) -> None:
    """A limit of 100 bytes, k = 2 of three vaults."""
    full = dict.fromkeys(sorted(ALL), 0) | backlog
    assert decide(Rules(100, past, 2), full, whole, kept, stopped=stopped) == expected  # type: ignore[arg-type]
