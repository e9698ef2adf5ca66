"""Merging many vaults' chunks, without any vault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.errors import BrokenChain, VaultError
from resilience.replication import chain
from resilience.replication.chunk import Header


def header(start: int, end: int, confirmed: int = 0, system: str = "1") -> Header:
    """A chunk's facts; chunks with the same bounds are the same chunk."""
    return Header(1, "n", "acorn", 1, system, start, end, confirmed, 1.0, f"{start}-{end}")


def held(*bounds: tuple[int, int]) -> dict[int, Header]:
    """What one vault holds."""
    return {start: header(start, end) for start, end in bounds}


def spans(merged: chain.Chain) -> list[tuple[int, int]]:
    """The chain's chunks by their bounds."""
    return [(h.start, h.end) for h in merged.headers]


def test_each_vault_may_hold_what_others_lack() -> None:
    """A chain is made from pieces that no vault has all of."""
    merged = chain.merge(100, {"a": held((100, 200)), "b": held((200, 300)), "c": held((300, 400), (100, 200))})
    assert merged.end == 400
    assert spans(merged) == [(100, 200), (200, 300), (300, 400)]


def test_a_hole_ends_the_chain() -> None:
    """What lies past a hole is not part of it."""
    assert chain.merge(100, {"a": held((100, 200), (250, 300))}).end == 200


def test_the_limit_cuts() -> None:
    """Chunks that begin at a child's opening or later do not count."""
    merged = chain.merge(100, {"a": held((100, 200), (200, 300))}, limit=200)
    assert merged.end == 200


def test_overlaps_are_told() -> None:
    """Chunks with other bounds, after a restart from a lost spool, are joined and reported."""
    merged = chain.merge(100, {"a": held((100, 200), (200, 300)), "b": held((100, 250), (250, 400))})
    assert merged.end == 400
    assert [(a.start, b.start) for a, b in chain.overlaps(merged)] == []
    merged = chain.merge(100, {"a": held((100, 200)), "b": held((150, 400))})
    assert [(a.start, b.start) for a, b in chain.overlaps(merged)] == [(100, 150)]


def test_later_chunks_make_a_hole_an_error() -> None:
    """A hole before a later chunk stops everything, and says what is missing and up to when data is good."""
    merged = chain.merge(100, {"a": held((100, 200), (250, 300))})
    with pytest.raises(BrokenChain) as caught:
        chain.refuse_hole(merged, [100, 250], 1)
    assert caught.value.missing == "WAL of epoch 1 from 0/C8 to 0/FA"
    assert caught.value.good_until.startswith("0/C8 (1970-01-01 00:00:01")
    assert "--accept-end 0/C8 --accept broken-chain" in caught.value.next


def test_a_confirmed_position_past_the_end_is_a_hole() -> None:
    """A chunk that says k vaults held more than is there now is believed."""
    merged = chain.merge(100, {"a": {100: header(100, 200, confirmed=300)}})
    with pytest.raises(BrokenChain, match="from 0/C8 to 0/12C"):
        chain.refuse_hole(merged, [100], 1)


def test_an_altered_tail_is_no_end() -> None:
    """A chunk that is there but altered everywhere is not the same as absent."""
    merged = chain.merge(100, {"a": held((100, 200))})
    chain.refuse_altered(merged, [], 1)
    with pytest.raises(BrokenChain, match="altered in birch"):
        chain.refuse_altered(merged, ["birch"], 1)


def test_two_databases_in_one_chain() -> None:
    """WAL of another system is refused."""
    with pytest.raises(VaultError, match="another database"):
        chain.one_system([header(100, 200), header(200, 300, system="2")], "1")


def test_nothing_at_all() -> None:
    """No chunk gives an empty chain that ends where it begins."""
    merged = chain.merge(100, {})
    assert (merged.end, merged.headers, merged.good_until) == (100, (), "0/64, where the snapshot begins")


CUTS = st.lists(st.integers(1, 50), min_size=1, max_size=20)


@given(CUTS, st.lists(st.sets(st.integers(0, 19)), min_size=1, max_size=4), st.integers(0, 30))
def test_merge_is_the_longest_run(lengths: list[int], lacks: list[set[int]], back: int) -> None:
    """Whatever each vault lacks, the chain ends at the first chunk that all of them lack."""
    bounds, at = [], 1000
    for length in lengths:
        bounds.append((at, at + length))
        at += length
    vaults = {str(v): held(*[b for i, b in enumerate(bounds) if i not in lack]) for v, lack in enumerate(lacks)}
    position = 1000 + min(back, lengths[0] - 1)
    merged = chain.merge(position, vaults)
    everywhere = set.intersection(*lacks)
    first = next((i for i in range(len(bounds)) if i in everywhere), len(bounds))
    assert merged.end == (bounds[first - 1][1] if first else position)
    assert spans(merged) == bounds[:first]
