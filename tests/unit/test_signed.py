"""Signed nonsense: whoever has a key may sign any JSON, and nobody who reads it may stumble."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import VaultError
from resilience.replication import chunk, layout, metrics, proof, seals
from resilience.replication import epoch as epochs
from resilience.replication import label as labels
from resilience.replication.gather import read_record
from resilience.replication.incoming import Incoming
from resilience.replication.reader import Reader
from resilience.replication.trace import Leg
from tests.unit.test_chunk import (
    BODY,
    BY_OPERATOR,
    CERTIFY,
    EPOCH,
    HEADER,
    IDENTITY,
    LABELLED,
    NOBODY,
    OF_STANDBY,
    OPENING,
    SIGN,
    START,
)

RECORD = replace(EPOCH, vaults=("a", "b", "c"))
PROOF = proof.encode("fleet", "a", 1.0, {"ok": True, "snapshot": "1d" * 32}, CERTIFY)
BARE = chunk.encode(HEADER, b"", SIGN)


class Kind(NamedTuple):
    """A kind of signed object: a true one's fields, who signs it, and how it is read."""

    fields: dict[str, Any]
    sign: seals.Sign
    decode: Callable[[bytes], Any]

    def signed(self, **changed: Any) -> bytes:
        """The object with other fields, validly signed: also with what canonical JSON can't say."""
        value = {name: v for name, v in {**self.fields, **changed}.items() if name != "signature"}
        payload = json.dumps(value, sort_keys=True, separators=(",", ":"))
        return json.dumps({**value, "signature": self.sign(payload.encode())}).encode()


KINDS = {
    "chunk": Kind(
        json.loads(BARE),
        SIGN,
        lambda data: (found := chunk.decode(data + b"\n" + BODY, EPOCH)) and found[0],
    ),
    "opening": Kind(
        json.loads(chunk.encode_opening(OPENING, SIGN)), SIGN, lambda data: chunk.decode_opening(data, EPOCH)
    ),
    "start": Kind(json.loads(chunk.encode_start(START, SIGN)), SIGN, lambda data: chunk.decode_start(data, EPOCH)),
    "label": Kind(json.loads(labels.encode(LABELLED, SIGN)), SIGN, lambda data: labels.decode(data, EPOCH, NOBODY)),
    "standby's label": Kind(
        json.loads(labels.encode(OF_STANDBY, CERTIFY)), CERTIFY, lambda data: labels.decode(data, EPOCH, BY_OPERATOR)
    ),
    "epoch": Kind(json.loads(epochs.encode(RECORD)), CERTIFY, lambda data: epochs.decode(data, BY_OPERATOR)),
    "proof": Kind(json.loads(PROOF), CERTIFY, lambda data: proof.decode(data, BY_OPERATOR)),
}
FIELDS = sorted((kind, name) for kind, of in KINDS.items() for name in of.fields if name != "signature")
TRUE = {kind: of.decode(of.signed()) for kind, of in KINDS.items()}
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(
        ["0/-64", "0/F" * 9, "FFFFFFFFFFFFFFFFF/0", "\ud800", "/pg\0x", "\uff14\uff12", "START WAL LOCATION: \ud800"]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


def test_what_is_true_is_believed() -> None:
    """Of each kind what the product puts."""
    assert all(TRUE.values())
    assert TRUE["start"] == START
    assert replace(TRUE["epoch"], signature="") == RECORD


@settings(max_examples=150)
@example(("chunk", "timeline"), [])
@example(("chunk", "timeline"), float("inf"))
@example(("chunk", "start"), 7)
@example(("chunk", "at"), None)
@example(("chunk", "at"), 1e300)
@example(("chunk", "site"), [])
@example(("chunk", "system_id"), [])
@example(("chunk", "end"), "0/FFFFFFFFFFFFFFFFFFFFFFFF")
@example(("opening", "parent"), None)
@example(("start", "start"), "zz")
@example(("start", "epoch"), 3.0)
@example(("label", "site"), 7)
@example(("label", "segment_size"), float(1 << 20))
@example(("label", "path"), "/pg\0x")
@example(("label", "backup_label"), "START WAL LOCATION: \ud800")
@example(("label", "timeline"), 1.5)
@example(("label", "timeline"), True)
@example(("label", "timeline"), 1 << 70)
@example(("label", "at"), float("inf"))
@example(("label", "at"), float("nan"))
@example(("label", "vault"), ["x"])
@example(("label", "start_lsn"), "0/-64")
@example(("label", "system_id"), "\uff14\uff12")
@example(("label", "versions"), {"postgres": "15", "arch": "x", "collation": 7})
@example(("epoch", "vaults"), "abc")
@example(("epoch", "sealed_at"), 0)
@example(("proof", "vault"), {})
@example(("proof", "at"), "soon")
@given(st.sampled_from(FIELDS), JSON)
def test_any_value_in_any_field_is_sound_or_altered(where: tuple[str, str], value: Any) -> None:
    """Nothing raises; what is believed has the types that it always has, and can be sorted and hashed by them.

    A time may be whole: an epoch's stays as it was signed.
    """
    kind, name = where
    found = KINDS[kind].decode(KINDS[kind].signed(**{name: value}))
    if found is None:
        return
    for field in fields(found):
        said = getattr(found, field.name)
        usual = type(getattr(TRUE[kind], field.name))
        assert type(said) is usual or (type(said), usual) == (int, float), field.name
        json.dumps(said, allow_nan=False)
        str(said).encode()
    hash(tuple(v for v in asdict(found).values() if not isinstance(v, dict)))


@pytest.mark.parametrize("where", FIELDS, ids=" ".join)
def test_a_field_that_is_not_there_is_altered(where: tuple[str, str]) -> None:
    """But for what only a person reads."""
    kind, name = where
    value = {n: v for n, v in KINDS[kind].fields.items() if n != name}
    found = KINDS[kind].decode(KINDS[kind]._replace(fields=value).signed())
    assert found is None or where in (("proof", "fleet"), ("chunk", "before"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "junk", [b"[" * 100_000, b'{"a":' * 100_000, b'{"signature": {}}', b"9" * 10_000, b'"\\ud800"']
)
def test_what_nobody_signed_and_no_reader_bears_is_altered(kind: str, junk: bytes) -> None:
    """Nested deeper than Python goes, or no object at all."""
    assert KINDS[kind].decode(junk) is None


def labelled(vault: MemoryVault, snapshot: str, **changed: Any) -> None:
    """A label in the vault under its own name."""
    key = replace(LABELLED, snapshot=snapshot).key
    assert vault.put_new(key, KINDS["label"].signed(snapshot=snapshot, **changed))


def test_a_site_of_another_type_beside_a_true_label_stops_nobody() -> None:
    """The true one is found."""
    vault = MemoryVault("a")
    labelled(vault, "1d" * 32)
    labelled(vault, "deadbeef", site=7)
    assert [group[0].site for group in labels.find({"a": vault}, {3: EPOCH}, BY_OPERATOR)] == ["acorn"]


class Written(MemoryVault):
    """A vault that keeps what was there first."""

    was = b""

    def first(self, key: str) -> bytes | None:
        """The oldest version, of whatever."""
        return self.was


@pytest.mark.parametrize("kind", ["start", "opening"])
@pytest.mark.parametrize("changed", [{"timeline": None}, {"at": []}, {"system_id": "x"}])
def test_nonsense_over_a_record_leads_to_its_first_version(kind: str, changed: dict[str, Any]) -> None:
    """As anything else that is altered."""
    vault = Written("a")
    vault.was = KINDS[kind].signed()
    assert vault.put_new("key", KINDS[kind].signed(**changed))
    assert read_record({"a": vault}, ("a",), RECORD, "key", KINDS[kind].decode)[0] == TRUE[kind]


def test_a_reader_tells_nonsense_and_reads_on(tmp_path: Path) -> None:
    """A chunk signed with nonsense is an altered one; what nobody thought of is told as a failure, and asked again."""
    vault = MemoryVault("a")
    key = layout.chunk(EPOCH.number, HEADER.start)
    vault.put_new(key, KINDS["chunk"].signed(timeline=[]) + b"\n" + BODY)
    incoming = Incoming(
        Leg(EPOCH, replace(START, start=HEADER.start, timeline=1), HEADER.start, None, {}), HEADER.start, lambda: None
    )
    reader = Reader(vault, lambda: incoming, tmp_path, 0.01, str(IDENTITY))
    assert reader.step() is False
    assert reader.errors == {"Altered": 1}
    vault.delete(key)
    vault.put_new(key, KINDS["chunk"].signed() + b"\n" + BODY)
    asked, usual = threading.Event(), vault.get

    def get(key: str) -> bytes | None:
        if not asked.is_set():
            asked.set()
            raise RuntimeError("nobody thought of this")
        return usual(key)

    vault.get = get  # type: ignore[method-assign]
    reader.start()
    until = time.monotonic() + 120
    while incoming.known(HEADER.start) is None and time.monotonic() < until:
        assert reader.is_alive()
        time.sleep(0.01)
    reader.stop()
    reader.join(120)
    assert not reader.is_alive()
    assert incoming.known(HEADER.start) is not None
    assert reader.errors == {"Altered": 1, "RuntimeError": 1}


def test_proofs_of_a_vault_that_makes_names_up_hide_no_others() -> None:
    """Nor do those of one that does not answer; of what one vault holds the newest eight are read."""
    vaults = {name: MemoryVault(name) for name in ("a", "b", "c")}
    vaults["b"].put_new(layout.verified("a", 1000), PROOF)
    for n in range(20):
        vaults["c"].put_new(layout.verified("a", 10**14 + n), b"junk")
        vaults["c"].put_new(layout.verified(f"made-up-{n}", n), b"junk")

    def listing(prefix: str) -> list[str]:
        raise VaultError("a", "503", "x")

    vaults["a"].list = listing  # type: ignore[method-assign]
    assert proof.proven(vaults, BY_OPERATOR) == {("a", "1d" * 32)}


def test_the_operator_is_told_what_a_standby_says_whatever_it_is() -> None:
    """Also where it is no label at all."""
    told: list[Any] = [7, None, "x", [], {"pg_control": 1}, {**asdict(OF_STANDBY), "site": 7}]
    for said in told:
        with pytest.raises(VaultError, match="could say"):
            labels.certify({"a": MemoryVault("a")}, EPOCH, "birch", [said], CERTIFY)


def test_a_metric_may_be_without_bounds() -> None:
    """It is written as Prometheus reads it."""
    endless = metrics.Metric("x", "gauge", "x", (metrics.Sample(float("inf")), metrics.Sample(2.0)))
    assert metrics.text([endless]).splitlines()[2:] == ["resilience_x inf", "resilience_x 2"]


@pytest.mark.parametrize("other", [" {}", "{}\n", "{} ", "0x{}", "{}00"])
def test_a_signature_is_written_in_one_way_only(other: str) -> None:
    """Else whoever has no key could give one object several shapes."""
    said = SIGN(b"payload")
    assert seals.verify(EPOCH.signer, b"payload", said)
    assert not seals.verify(EPOCH.signer, b"payload", other.format(said))
    assert not seals.verify(EPOCH.signer, b"payload", said.upper())
