"""How WAL is made small before it is encrypted: a zstd frame; older chunks hold a zlib stream."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Final

import zstandard

ZLIB: Final = "resilience-wal/1"
ZSTD: Final = "resilience-wal/2"
MUCH: Final = 1 << 20
"""Bytes of WAL in one chunk from which on the primary's cores are what is short, and not the vaults' disks."""
LEVEL, LEVEL_OF_MUCH = 3, 1
"""Level 3 takes a third more time than 1; on pages that are logged whole and packed by lz4 it is smaller by a twentieth in pieces
of 4 MiB, without lz4 by a sixth (`scripts/bench packing`)."""


LIMIT: Final = 8 << 20
"""Bytes of WAL; more than any ship puts into a chunk (4 MiB and one message of Postgres)."""


class NotUnpacked(ValueError):
    """These bytes are no packed WAL of the size that was promised."""


def pack(wal: bytes) -> bytes:
    """WAL as one zstd frame that says its size."""
    return zstandard.ZstdCompressor(level=LEVEL_OF_MUCH if len(wal) >= MUCH else LEVEL).compress(wal)


def unpack(form: str, packed: bytes, size: int) -> bytes:
    """The `size` bytes of WAL in what a chunk of this format holds, and never more memory than they take."""
    if not 0 < size <= LIMIT:
        raise NotUnpacked(f"No chunk holds {size} bytes.")
    wal = _UNPACK[form](packed, size)
    if len(wal) != size:
        raise NotUnpacked(f"It does not hold {size} bytes.")
    return wal


def _zlib(packed: bytes, size: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        wal = stream.decompress(packed, size + 1)
    except zlib.error as error:
        raise NotUnpacked(str(error)) from error
    if not stream.eof and len(wal) <= size:
        raise NotUnpacked("Its zlib stream is cut off.")
    return wal


def _zstd(packed: bytes, size: int) -> bytes:
    try:
        told = zstandard.frame_content_size(packed)
        if told != size:
            raise NotUnpacked(f"Its zstd frame says {told} bytes, not {size}.")
        return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise NotUnpacked(str(error)) from error


_UNPACK: Mapping[str, Callable[[bytes, int], bytes]] = {ZLIB: _zlib, ZSTD: _zstd}
FORMATS: Final = tuple(_UNPACK)
