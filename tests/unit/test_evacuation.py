"""An evacuation's arithmetic: order, finishing times at a measured rate, and the deadline."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from resilience.decide.evacuation import ORDER, evacuation

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
