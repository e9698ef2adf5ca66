"""WAL chunks and the two records an epoch begins with: bytes in, facts out, nothing else.

A chunk is one line of JSON, signed by its site, then a body that only recipients can read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from resilience.errors import VaultError
from resilience.model import EpochRecord
from resilience.replication import lsn, packing, seals, signed
from resilience.replication.seals import Sign
from resilience.replication.signed import Number, Position, SystemId, Time, Timeline

T = TypeVar("T")
OPENING = "resilience-opening/1"
START = "resilience-start/1"
HEADER_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Header:
    """What a chunk says of itself in plain text."""

    epoch: Number
    nonce: str
    site: str
    timeline: Timeline
    system_id: SystemId
    start: Position
    end: Position
    confirmed: Position
    """Position that k vaults held when this chunk was made."""
    at: Time
    sha256: str
    before: str = ""
    """The `sha256` of the chunk that its ship made before it; empty where it made none, or the format had no such word."""
    format: str = packing.ZSTD

    @property
    def size(self) -> int:
        """Bytes of WAL in the body."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Opening:
    """Chunk 0: where the parent's chain ends, as the promoter of this epoch found it."""

    epoch: Number
    nonce: str
    parent: Number
    end: Position
    confirmed: Position
    timeline: Timeline
    system_id: SystemId
    at: Time


@dataclass(frozen=True, slots=True)
class Start:
    """Where an epoch's own WAL begins; put into each vault before its first chunk."""

    epoch: Number
    nonce: str
    start: Position
    timeline: Timeline
    system_id: SystemId
    history: str
    """The timeline's history file; empty on timeline 1."""
    at: Time


def encode(header: Header, body: bytes, sign: Sign) -> bytes:
    """The chunk as its object: header line, then the sealed body that the header names by hash."""
    fields = {
        "format": header.format,
        "epoch": header.epoch,
        "nonce": header.nonce,
        "site": header.site,
        "timeline": header.timeline,
        "system_id": header.system_id,
        "start": lsn.show(header.start),
        "end": lsn.show(header.end),
        "confirmed": lsn.show(header.confirmed),
        "at": header.at,
        "sha256": header.sha256,
        "before": header.before,
    }
    return seals.canonical(seals.sign_json(fields, sign)) + b"\n" + body


def seal_body(wal: bytes, recipients: Sequence[str]) -> bytes:
    """WAL, packed and then encrypted."""
    return seals.encrypt(packing.pack(wal), recipients)


def open_body(header: Header, body: bytes, identity: str) -> bytes:
    """The WAL in a body; VaultError when it is not what the header promised."""
    try:
        return packing.unpack(header.format, seals.decrypt(body, identity), header.size)
    except packing.NotUnpacked as error:
        raise VaultError(
            f"The chunk at {lsn.show(header.start)} cannot be unpacked to {header.size} bytes",
            str(error),
            "Another vault's copy may be whole.",
        ) from error


def refuse_other(header: Header, start: Start) -> None:
    """VaultError where a chunk is of another timeline or database than its epoch began with: no ship makes one."""
    if (header.timeline, header.system_id) != (start.timeline, start.system_id):
        raise VaultError(
            f"The chunk at {lsn.show(header.start)} is of timeline {header.timeline} of system {header.system_id}",
            f"Its epoch began on timeline {start.timeline} of system {start.system_id}.",
            "Another vault's copy may be whole.",
        )


def split(data: bytes) -> tuple[bytes, bytes]:
    """Header line and body."""
    line, _, body = data.partition(b"\n")
    return line, body


def decode(data: bytes, epoch: EpochRecord, *, known: bool = False) -> tuple[Header, bytes] | None:
    """Header and body of a chunk that this epoch's site signed; None when altered.

    One that is `known` had its signature looked at before it was kept here: only its bytes are compared.
    """
    line, body = split(data)
    if len(line) > HEADER_LIMIT:
        return None
    header = _verified(line, epoch, packing.FORMATS, Header, (lambda *_: True) if known else None)
    return None if header is None or hashlib.sha256(body).hexdigest() != header.sha256 else (header, body)


def _verified(
    data: bytes, epoch: EpochRecord, forms: tuple[str, ...], kind: type[T], check: seals.Verify | None = None
) -> T | None:
    """What JSON of one of these formats says that this epoch's site signed for this very epoch."""
    value = seals.verified_json(data, check or seals.verifier(epoch.signer))
    if value is None or value.get("format") not in forms:
        return None
    if value.get("epoch") != epoch.number or value.get("nonce") != epoch.nonce:
        return None
    return signed.read(value, kind)


def encode_opening(record: Opening, sign: Sign) -> bytes:
    """The opening record as its object."""
    fields = {
        "format": OPENING,
        "epoch": record.epoch,
        "nonce": record.nonce,
        "parent": record.parent,
        "end": lsn.show(record.end),
        "confirmed": lsn.show(record.confirmed),
        "timeline": record.timeline,
        "system_id": record.system_id,
        "at": record.at,
    }
    return json.dumps(seals.sign_json(fields, sign), indent=1).encode()


def decode_opening(data: bytes, epoch: EpochRecord) -> Opening | None:
    """An opening record that this epoch's site signed; None when altered."""
    opening = _verified(data, epoch, (OPENING,), Opening)
    return opening if opening is not None and 0 < opening.parent < epoch.number else None


def encode_start(record: Start, sign: Sign) -> bytes:
    """The start record as its object."""
    fields = {
        "format": START,
        "epoch": record.epoch,
        "nonce": record.nonce,
        "start": lsn.show(record.start),
        "timeline": record.timeline,
        "system_id": record.system_id,
        "history": record.history,
        "at": record.at,
    }
    return json.dumps(seals.sign_json(fields, sign), indent=1).encode()


def decode_start(data: bytes, epoch: EpochRecord) -> Start | None:
    """A start record that this epoch's site signed; None when altered."""
    return _verified(data, epoch, (START,), Start)
