"""Positions in the WAL: text, numbers, segment names, and where a record ends."""

from __future__ import annotations

import re
import struct

TEXT = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})", re.ASCII | re.IGNORECASE)
PAGE = 8192
SHORT_HEADER = 24
LONG_HEADER = 40
RECORD_HEADER = 24
ALIGN = 8


def parse(text: str) -> int:
    """`0/16B3748` as a number; ValueError for any other text."""
    found = TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:40]!r} is no position in the WAL.")
    return (int(found[1], 16) << 32) | int(found[2], 16)


def show(lsn: int) -> str:
    """A number as Postgres writes it: `0/16B3748`."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def segment_start(lsn: int, size: int) -> int:
    """First position of the segment that holds `lsn`."""
    return lsn - lsn % size


def segment_name(timeline: int, lsn: int, size: int) -> str:
    """File name of the segment that holds `lsn` on `timeline`."""
    number = lsn // size
    per_id = 0x100000000 // size
    return f"{timeline:08X}{number // per_id:08X}{number % per_id:08X}"


def header_at(lsn: int, segment_size: int) -> int:
    """Size of the page header that begins at `lsn`: 0 when no page begins there."""
    if lsn % PAGE:
        return 0
    return SHORT_HEADER if lsn % segment_size else LONG_HEADER


def advance(lsn: int, count: int, segment_size: int) -> int:
    """Position just past `count` bytes of record data from `lsn`, stepping over page headers."""
    while count:
        lsn += header_at(lsn, segment_size)
        step = min(PAGE - lsn % PAGE, count)
        lsn += step
        count -= step
    return lsn


def record_end(wal: bytes, start: int, lsn: int, segment_size: int) -> int | None:
    """Where the record at `lsn` ends; None when even its length lies past what is there.

    `wal` holds the bytes from position `start` on. A length below a record's own header
    (zeros, rubbish) gives `lsn` itself: there is something there, and it is no record.
    """
    at = lsn + header_at(lsn, segment_size)
    offset = at - start
    if offset + 4 > len(wal):
        return None
    (length,) = struct.unpack_from("<I", wal, offset)
    if length < RECORD_HEADER:
        return lsn
    return advance(at, length, segment_size)
