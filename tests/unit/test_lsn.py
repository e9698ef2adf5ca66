"""Positions in the WAL, and where records end."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.errors import ShortRecovery
from resilience.replication import lsn
from resilience.replication.tail import refuse_short

SEGMENT = 1 << 20
LONG, SHORT = lsn.LONG_HEADER, lsn.SHORT_HEADER


@given(st.integers(0, 2**64 - 1))
def test_text_and_number_agree(number: int) -> None:
    """What is shown parses back."""
    assert lsn.parse(lsn.show(number)) == number


def test_segments_are_named_as_postgres_does() -> None:
    """With 1 MiB segments 4096 of them share a middle part; with 16 MiB ones 256 do."""
    assert lsn.segment_name(1, lsn.parse("0/1600000"), SEGMENT) == "000000010000000000000016"
    assert lsn.segment_name(2, lsn.parse("1/0"), SEGMENT) == "000000020000000100000000"
    assert lsn.segment_name(1, lsn.parse("0/3000028"), 16 << 20) == "000000010000000000000003"


def test_record_data_steps_over_page_headers() -> None:
    """A record that crosses pages is longer by their headers, a long one where a segment begins."""
    assert lsn.advance(SEGMENT + LONG, 100, SEGMENT) == SEGMENT + LONG + 100
    page = SEGMENT + lsn.PAGE
    assert lsn.advance(page - 8, 16, SEGMENT) == page + SHORT + 8
    assert lsn.advance(2 * SEGMENT - 8, 16, SEGMENT) == 2 * SEGMENT + LONG + 8
    assert lsn.advance(page - 8, 8, SEGMENT) == page


def wal(length: int, there: int) -> bytes:
    """A segment's first bytes: its header, then `there` bytes of a record that says `length`."""
    return (b"\0" * LONG + struct.pack("<I", length) + b"\1" * length)[: LONG + there]


@pytest.mark.parametrize("there", [0, 3, 4, 24, 99])
def test_an_incomplete_record_is_the_end(there: int) -> None:
    """Replay that stops where only a beginning is left has come to the end."""
    data = wal(100, there)
    refuse_short(SEGMENT, SEGMENT + len(data), SEGMENT, data, SEGMENT, SEGMENT)


def test_a_whole_record_left_is_short() -> None:
    """Replay that stops before a record that is all there is short, and says where."""
    data = wal(100, 100)
    with pytest.raises(ShortRecovery, match="ends at 0/10008C"):
        refuse_short(SEGMENT, SEGMENT + len(data), SEGMENT, data, SEGMENT, SEGMENT)


def test_rubbish_left_is_short() -> None:
    """Zeros where a record should begin are doubtful, and doubt is not the end."""
    data = wal(100, 4)[:LONG] + b"\0" * 50
    with pytest.raises(ShortRecovery, match="no record begins there"):
        refuse_short(SEGMENT, SEGMENT + len(data), SEGMENT, data, SEGMENT, SEGMENT)


@pytest.mark.parametrize("there", [0, LONG, LONG + 3])
def test_wal_that_is_gone_from_the_host_is_short(there: int) -> None:
    """What was assembled and is not there any more is never taken for a record that was cut off."""
    with pytest.raises(ShortRecovery, match="not on this host"):
        refuse_short(SEGMENT, SEGMENT + LONG + 100, SEGMENT, wal(100, there)[:there], SEGMENT, SEGMENT)


def test_past_the_end_is_through() -> None:
    """Replay at or past the end needs no look at the bytes."""
    refuse_short(SEGMENT, SEGMENT, SEGMENT, b"", SEGMENT, SEGMENT)


@given(st.integers(24, 30000), st.integers(0, lsn.PAGE - 32), st.integers(0, 40000))
def test_whole_or_not_is_told_for_any_cut(length: int, offset: int, cut: int) -> None:
    """Wherever a record lies and the chain is cut: short if and only if its last byte is there."""
    start = SEGMENT + LONG + offset - offset % 8
    body = struct.pack("<I", length) + b"\1" * (length - 4)
    end = lsn.advance(start, length, SEGMENT)
    page = bytearray(b"\2" * (end - SEGMENT + lsn.PAGE))
    at = start
    for byte in body:
        at += lsn.header_at(at, SEGMENT)
        page[at - SEGMENT] = byte
        at += 1
    upto = min(start + cut, end)
    data = bytes(page[: upto - SEGMENT])
    if upto >= end:
        with pytest.raises(ShortRecovery):
            refuse_short(start, upto, start, data, SEGMENT, SEGMENT)
    else:
        refuse_short(start, upto, start, data, SEGMENT, SEGMENT)
