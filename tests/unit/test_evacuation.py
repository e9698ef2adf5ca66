"""An evacuation's arithmetic: order, finishing times at a measured rate, and the deadline."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from resilience.cli.evacuate import evacuation_text
from resilience.decide.evacuation import ORDER, evacuation
from resilience.model import Notice

SIZES = {"database": 1_000, "ledger": 10, "keys": 5, "recent media": 500, "old media": 9_000}


def test_what_is_needed_to_come_back_goes_first() -> None:
    """Database, ledger and keys before pictures, new ones before old ones; each begins when the one before arrived."""
    found = evacuation(SIZES, SIZES, 100.0, 1_000.0, 2_000.0)
    assert [load.what for load in found.loads] == list(ORDER)
    assert found.loads[0].done_at == 1_010.0
    assert found.done_at == 1_000.0 + sum(SIZES.values()) / 100.0
    assert found.margin_s == 2_000.0 - found.done_at


def test_without_a_rate_nothing_is_promised() -> None:
    """No measured rate: no finishing time and no margin, except where nothing is left."""
    assert evacuation(SIZES, SIZES, None, 0.0, 100.0).margin_s is None
    assert evacuation(SIZES, {}, None, 0.0, 100.0).margin_s == 100.0


@given(st.dictionaries(st.sampled_from(ORDER), st.integers(0, 10**12)), st.floats(1, 1e9), st.floats(0, 1e9))
def test_later_loads_never_arrive_earlier(left: dict[str, int], rate: float, now: float) -> None:
    """Times only go forward, and the last is when everything has arrived."""
    found = evacuation(left, left, rate, now, 0.0)
    times = [load.done_at for load in found.loads]
    assert all(a is not None and b is not None and a <= b for a, b in itertools.pairwise(times))


def test_a_deadline_that_cannot_be_met_is_said_with_what_is_saved() -> None:
    """By how much it is too late, and which loads arrive all the same; the rate says between which places it was measured."""
    notice = Notice("acorn", "A-1", "", "", None, 0.0, 1_100.0, (), "0" * 64, ())
    found = evacuation(SIZES, SIZES, 10.0, 1_000.0, notice.deadline_at, "elm")
    late = [load.what for load in found.loads if load.done_at is None or load.done_at > found.deadline_at]
    assert late == ["ledger", "keys", "recent media", "old media"]
    said = evacuation_text(notice, found, "birch")
    assert "TOO LATE by 15 min 52 s: what comes first above is what is saved." in said
    assert "before the deadline" not in said
    assert "from elm's vault to this machine" in said
    assert "What birch's host can take was not measured" in said
    assert "before the deadline" in evacuation_text(
        notice, evacuation(SIZES, SIZES, 1e3, 1_000.0, 1_100.0, "elm"), "birch"
    )


def test_an_unknown_rate_is_said() -> None:
    """No vault gave a byte: neither too late nor in time."""
    notice = Notice("acorn", "A-1", "", "", None, 0.0, 1_100.0, (), "0" * 64, ())
    said = evacuation_text(notice, evacuation(SIZES, SIZES, None, 1_000.0, 1_100.0), "birch")
    assert "rate: not known" in said
    assert "is not known" in said
    assert "TOO LATE" not in said
