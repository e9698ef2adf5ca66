"""Chunks, records and labels: bytes that anybody may have altered."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import tracemalloc
import zlib
from dataclasses import asdict, replace
from typing import Any

import pyrage
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import VaultError
from resilience.model import EpochRecord
from resilience.replication import chunk, packing, seals
from resilience.replication import label as labels
from resilience.replication.label import Label

KEY = Ed25519PrivateKey.generate()
SIGN = seals.signer(KEY)
IDENTITY = pyrage.x25519.Identity.generate()
EPOCH = EpochRecord(3, "acorn", "nonce", 2, ("a", "b", "c"), 2, 2, 1.0, seals.public_hex(KEY), "")
OPERATOR = Ed25519PrivateKey.generate()
CERTIFY = seals.signer(OPERATOR)
BY_OPERATOR = seals.verifier(seals.public_hex(OPERATOR))
NOBODY = seals.verifier("00" * 32)
BODY = chunk.seal_body(b"wal" * 100, [str(IDENTITY.to_public())])
HEADER = chunk.Header(3, "nonce", "acorn", 1, "42", 100, 400, 50, 1.5, hashlib.sha256(BODY).hexdigest())
CHUNK = chunk.encode(HEADER, BODY, SIGN)
OPENING = chunk.Opening(3, "nonce", 2, 400, 300, 1, "42", 1.5)
START = chunk.Start(3, "nonce", 400, 2, "42", "1\t0/190\tno recovery target specified\n", 1.5)


def test_there_and_back() -> None:
    """What was encoded decodes to the same facts, and opens to the same WAL."""
    found = chunk.decode(CHUNK, EPOCH)
    assert found == (HEADER, BODY)
    assert chunk.open_body(HEADER, BODY, str(IDENTITY)) == b"wal" * 100
    assert chunk.decode_opening(chunk.encode_opening(OPENING, SIGN), EPOCH) == OPENING
    assert chunk.decode_start(chunk.encode_start(START, SIGN), EPOCH) == START


@given(st.binary(min_size=1, max_size=200), st.integers(1, 60), st.sampled_from([0, 1, 6, 9]))
def test_what_older_builds_packed_is_unpacked(pattern: bytes, times: int, level: int) -> None:
    """Chunks of format 1 hold a zlib stream, whoever made it; those of format 2 one zstd frame."""
    wal = pattern * times
    header = replace(HEADER, end=HEADER.start + len(wal))
    readers = [str(IDENTITY.to_public())]
    older = seals.encrypt(zlib.compress(wal, level), readers)
    assert chunk.open_body(replace(header, format=packing.ZLIB), older, str(IDENTITY)) == wal
    ours = chunk.seal_body(wal, readers)
    assert chunk.open_body(header, ours, str(IDENTITY)) == wal
    assert zstandard.decompress(seals.decrypt(ours, str(IDENTITY))) == wal


WAL = b"wal" * 100
PACKED, STREAM = packing.pack(WAL), zlib.compress(WAL)
UNTOLD = zstandard.ZstdCompressor(write_content_size=False).compress(WAL)
SHORT = [packing.pack(WAL[:-1]), packing.pack(WAL + b"w")]
BOMB = packing.pack(bytes(64 << 20))


@pytest.mark.parametrize("damage", [b"", b"wal", PACKED[:-1], PACKED + b"w", PACKED * 2, UNTOLD, STREAM, BOMB, *SHORT])
def test_what_cannot_be_unpacked_is_no_wal(damage: bytes) -> None:
    """Nothing, rubbish, a frame that is cut off, goes on, does not say its size or another; a zlib stream: refused."""
    with pytest.raises(VaultError, match="cannot be unpacked to 300 bytes"):
        chunk.open_body(HEADER, seals.encrypt(damage, [str(IDENTITY.to_public())]), str(IDENTITY))


@pytest.mark.parametrize(
    "damage", [b"", b"wal", STREAM[:-1], zlib.compress(WAL[:-1]), zlib.compress(WAL + b"w"), PACKED]
)
def test_what_is_no_zlib_stream_is_no_wal_of_format_1(damage: bytes) -> None:
    """The same of what older builds packed, and a zstd frame."""
    sealed = seals.encrypt(damage, [str(IDENTITY.to_public())])
    with pytest.raises(VaultError, match="cannot be unpacked to 300 bytes"):
        chunk.open_body(replace(HEADER, format=packing.ZLIB), sealed, str(IDENTITY))


@pytest.mark.parametrize("form", packing.FORMATS)
def test_a_body_that_unfolds_without_end_is_not_unfolded(form: str) -> None:
    """A primary signs what it likes: neither what the frame says nor what the header says is room for gigabytes."""
    tracemalloc.start()
    bomb = seals.encrypt(BOMB if form == packing.ZSTD else zlib.compress(bytes(64 << 20)), [str(IDENTITY.to_public())])
    tracemalloc.reset_peak()
    for size in (300, 64 << 20, 1 << 40):
        with pytest.raises(VaultError, match="cannot be unpacked"):
            chunk.open_body(replace(HEADER, end=HEADER.start + size, format=form), bomb, str(IDENTITY))
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("form", ["resilience-wal/3", "", None, 2, ["resilience-wal/2"], {}])
def test_a_chunk_of_another_format_is_altered(form: object) -> None:
    """Also where its signature is good, and whatever it says there."""
    fields = json.loads(CHUNK.partition(b"\n")[0])
    del fields["signature"]
    as_it_was, altered = (
        chunk.decode(seals.canonical(seals.sign_json(told, SIGN)) + b"\n" + BODY, EPOCH)
        for told in (fields, fields | {"format": form})
    )
    assert (as_it_was, altered) == ((HEADER, BODY), None)


LETTER = next(i for i in range(CHUNK.index(b'"signature"') + 13, len(CHUNK)) if CHUNK[i] > ord("9"))
"""A letter among the digits of the signature: the other case would say the same."""


@example(LETTER, 0x20)
@given(st.integers(0, len(CHUNK) - 1), st.integers(1, 255))
def test_any_altered_byte_is_found(index: int, flip: int) -> None:
    """Header, signature or body: whichever byte changes, the chunk is altered."""
    data = bytearray(CHUNK)
    data[index] ^= flip
    assert chunk.decode(bytes(data), EPOCH) is None


@given(st.integers(0, len(CHUNK) - 1))
def test_a_cut_chunk_is_altered(length: int) -> None:
    """A truncated object is no chunk."""
    assert chunk.decode(CHUNK[:length], EPOCH) is None


@given(st.binary(max_size=200))
def test_rubbish_is_altered(data: bytes) -> None:
    """Decoders take any bytes and never raise."""
    for decode in (chunk.decode, chunk.decode_opening, chunk.decode_start):
        assert decode(data, EPOCH) is None
    assert labels.decode(data, EPOCH, NOBODY) is None


@pytest.mark.parametrize(
    "other", [replace(EPOCH, number=4), replace(EPOCH, nonce="theirs"), replace(EPOCH, signer="00")]
)
def test_another_epoch_does_not_believe_it(other: EpochRecord) -> None:
    """Number, nonce and key must all be this epoch's."""
    assert chunk.decode(CHUNK, other) is None
    assert chunk.decode_opening(chunk.encode_opening(OPENING, SIGN), other) is None


def test_one_kind_is_not_another() -> None:
    """A signed start record under the opening's name is no opening record."""
    assert chunk.decode_opening(chunk.encode_start(START, SIGN), EPOCH) is None


def test_a_header_that_would_take_hours_to_read_is_not_read() -> None:
    """Reading takes the square of its recipients; whoever may put objects can repeat one as often as he likes."""
    sealed = seals.encrypt(b"a post", [str(IDENTITY.to_public())])
    begin, end = sealed.index(b"-> "), sealed.index(b"\n---")
    junk = sealed[:begin] + b"\n".join([sealed[begin:end]] * 10_000) + sealed[end:]
    with pytest.raises(VaultError, match="cannot be decrypted") as caught:
        seals.decrypt(junk, str(IDENTITY))
    assert "ends within 8,192 bytes" in caught.value.why
    many = seals.encrypt(b"a post", [str(IDENTITY.to_public())] * 70)
    assert seals.decrypt(many, str(IDENTITY)) == b"a post"


def test_a_body_that_is_not_what_its_header_says() -> None:
    """The length must match, even where all is signed."""
    with pytest.raises(VaultError, match="cannot be unpacked to 301 bytes"):
        chunk.open_body(replace(HEADER, end=401), BODY, str(IDENTITY))
    with pytest.raises(VaultError, match="cannot be decrypted"):
        chunk.open_body(HEADER, BODY[:-1], str(IDENTITY))


LABELLED = Label(
    3,
    "nonce",
    "acorn",
    "a",
    "1d" * 32,
    "restic/00000003",
    "/pg",
    "0/64",
    "0/C8",
    1,
    "42",
    1 << 20,
    "START WAL LOCATION: 0/64",
    base64.b64encode(b"A" * 8192).decode(),
    1.0,
    {"postgres": "15.1", "arch": "x86_64", "collation": "C.UTF-8 -"},
)
OF_STANDBY = replace(LABELLED, site="birch", repository="standby/00000003")


def test_a_label_is_for_its_epoch() -> None:
    """A label decodes for the epoch that signed it, keeps all its facts, and ranks by position."""
    label = LABELLED
    data = labels.encode(label, SIGN)
    assert labels.decode(data, EPOCH, NOBODY) == label
    assert labels.decode(data, replace(EPOCH, nonce="theirs"), NOBODY) is None
    assert (label.start, label.stop, label.control) == (100, 200, b"A" * 8192)
    within = replace(label, start_lsn="0/1FFFFF")
    assert (within.start, within.needs_from) == (0x1FFFFF, 0x100000), "whoever restores takes whole segments"
    assert replace(label, start_lsn="0/65", at=0.5).key > label.key
    assert labels.decode(json.dumps({**json.loads(data), "at": 2.0}).encode(), EPOCH, NOBODY) is None
    for nonsense in NONSENSE:
        assert labels.decode(labels.encode(replace(label, **nonsense), SIGN), EPOCH, NOBODY) is None, nonsense


NONSENSE: list[dict[str, Any]] = [
    {"stop_lsn": "0/1"},
    {"start_lsn": "far away"},
    {"segment_size": 0},
    {"versions": {}},
    {"versions": {"postgres": "", "arch": "x86_64"}},
    {"repository": "restic/00000002"},
    {"snapshot": "../1d"},
    {"path": "/pg/../../etc"},
    {"pg_control": "QQ=="},
    {"backup_label": ""},
    {"timeline": 0},
    {"system_id": "none"},
    {"at": -1.0},
]
"""What whoever holds a site's key could sign, and no snapshot ever says."""


def test_what_a_standby_took_only_the_operator_says() -> None:
    """The site's key makes no label of a standby's snapshot, and the operator signs none of the site's."""
    assert labels.decode(labels.encode(OF_STANDBY, CERTIFY), EPOCH, BY_OPERATOR) == OF_STANDBY
    assert labels.decode(labels.encode(OF_STANDBY, SIGN), EPOCH, BY_OPERATOR) is None
    assert labels.decode(labels.encode(LABELLED, CERTIFY), EPOCH, BY_OPERATOR) is None
    assert OF_STANDBY.key != LABELLED.key


def found(vault: MemoryVault, epochs: dict[int, EpochRecord]) -> list[tuple[int, str, str]]:
    """Epoch, site and position of every label, as they are tried."""
    groups = labels.find({"a": vault}, epochs, BY_OPERATOR)
    return [(group[0].epoch, group[0].site, group[0].start_lsn) for group in groups]


def test_a_fresh_snapshot_of_a_standby_goes_first() -> None:
    """Also before newer ones that the site signed; an old one, or one of an older epoch, only in its turn."""
    vault = MemoryVault("a")
    fresh, old = time.time() - 3600, time.time() - 90000

    def put(start: str, at: float, by: Label, sign: seals.Sign) -> None:
        label = replace(by, start_lsn=start, at=at)
        assert vault.put_new(label.key, labels.encode(label, sign))

    put("0/10", old, OF_STANDBY, CERTIFY)
    put("0/60", 9e9, LABELLED, SIGN)
    assert found(vault, {3: EPOCH}) == [(3, "acorn", "0/60"), (3, "birch", "0/10")]
    put("0/20", fresh, OF_STANDBY, CERTIFY)
    put("0/30", fresh, replace(OF_STANDBY, snapshot="2e" * 32), SIGN)
    put("0/20", 9e9, replace(LABELLED, snapshot="3f" * 32), SIGN)
    expected = [(3, "birch", "0/20"), (3, "acorn", "0/60"), (3, "acorn", "0/20"), (3, "birch", "0/10")]
    assert found(vault, {3: EPOCH}) == expected
    newer = replace(EPOCH, number=4)
    put("0/70", 9e9, replace(LABELLED, epoch=4, repository="restic/00000004"), SIGN)
    assert found(vault, {3: EPOCH, 4: newer})[0] == (4, "acorn", "0/70")


def test_the_operator_signs_nothing_that_no_standby_could_say() -> None:
    """Of another epoch, another site, another vault, another day, or of the site's own repository: refused, and nothing is put."""
    vault, timely = MemoryVault("a"), replace(OF_STANDBY, at=time.time())
    for strange in (
        replace(timely, epoch=2, repository="standby/00000002"),
        replace(timely, nonce="theirs"),
        replace(timely, site="acorn"),
        replace(timely, vault="z"),
        replace(LABELLED, at=timely.at),
        replace(timely, at=timely.at + 86_400),
    ):
        with pytest.raises(VaultError, match="could say"):
            labels.certify({"a": vault}, EPOCH, "birch", [asdict(strange)], CERTIFY)
    for nonsense in NONSENSE:
        with pytest.raises(VaultError, match="could say"):
            labels.certify({"a": vault}, EPOCH, "birch", [{**asdict(timely), **nonsense}], CERTIFY)
    assert vault.list("") == []
    assert labels.certify({"a": vault}, EPOCH, "birch", [asdict(timely)], CERTIFY) == {"a": OF_STANDBY.snapshot}
    assert found(vault, {3: EPOCH}) == [(3, "birch", "0/64")]
