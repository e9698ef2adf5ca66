"""Pictures in two parts: what goes where, and that neither part opens without the other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.adapters.memory_vault import MemoryVault
from resilience.engine.steps.vaults import fill
from resilience.errors import VaultError
from resilience.model import Phase, Step, payload_only
from resilience.replication import catch_up, layout, seals
from resilience.replication.apart import Owed, give, joined, openable, owed, split
from resilience.replication.fetch_media import opened
from resilience.replication.outbox import Outbox
from tests.replication.harness import wait_until

IDENTITIES = [pyrage.x25519.Identity.generate() for _ in range(3)]
RECIPIENTS = [str(identity.to_public()) for identity in IDENTITIES]
SHA = "ab" * 32
GOLDEN = Path(__file__).parents[1] / "replication/golden/apart-1.json"


@settings(max_examples=40)
@given(st.binary(max_size=70_000), st.integers(1, 3))
def test_two_parts_are_the_same_file_again(plain: bytes, recipients: int) -> None:
    """Whatever is in it and whoever it is for: split and put together it opens, and neither part does alone."""
    sealed = seals.encrypt(plain, RECIPIENTS[:recipients])
    kept = split("a", sealed)
    assert kept.header + kept.payload == sealed
    for identity in map(str, IDENTITIES[:recipients]):
        assert seals.decrypt(kept.header + kept.payload, identity) == plain
        for part in (kept.header, kept.payload):
            with pytest.raises(VaultError, match="decrypted"):
                seals.decrypt(part, identity)


def test_a_header_opens_no_other_payload() -> None:
    """Two sealings of one picture have two keys: what is left of one is of no use to the other."""
    first, second = (split("a", seals.encrypt(b"a picture", RECIPIENTS)) for _ in range(2))
    assert first.sha256 != second.sha256
    with pytest.raises(VaultError, match="decrypted"):
        seals.decrypt(first.header + second.payload, str(IDENTITIES[0]))


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_what_is_no_age_file_is_said(junk: bytes) -> None:
    """Never half of something: an object without a whole header is an error that names it."""
    for data in (junk, b"age-encryption.org/v1\n" + junk.replace(b"\n--- ", b"")):
        with pytest.raises(VaultError, match="is no age file"):
            split("a", data)


def test_who_keeps_payloads() -> None:
    """The locked vaults, as long as k others are there; else nobody, for headers in too few places are pictures lost."""
    assert payload_only(frozenset({"elm"}), ("birch", "cedar", "elm"), 2) == {"elm"}
    assert payload_only(frozenset({"elm", "cedar"}), ("birch", "cedar", "elm"), 2) == frozenset()
    assert payload_only(frozenset({"oak"}), ("birch", "cedar", "elm"), 2) == frozenset()


def test_names_say_what_an_object_is() -> None:
    """A part's name has its picture and its payload; any other name below `media/` is a whole picture's."""
    assert layout.part(layout.header("post3", SHA)) == ("post3", SHA, True)
    assert layout.part(layout.payload("post3", SHA)) == ("post3", SHA, False)
    for key in ("media/post3", f"media/post3.{SHA}", f"media/post3.{SHA[1:]}.header", f"wal/post3.{SHA}.header"):
        assert layout.part(key) is None
    assert {layout.picture(key(*args)) for key, args in ((layout.media, ["a"]), (layout.header, ["a", SHA]))} == {"a"}


def test_a_payload_counts_only_with_its_own_header() -> None:
    """A vault gives back what it has whole, and what some vault has the very header of."""
    payload, header = layout.payload("a", SHA), layout.header("a", SHA)
    assert openable([payload], [header]) == {"a"}
    assert openable([payload], [layout.header("a", "cd" * 32), layout.header("b", SHA)]) == set()
    assert openable([header], [header]) == set()
    assert openable(["media/b"], []) == {"b"}


def test_what_each_vault_is_owed() -> None:
    """A locked vault gets payloads, of whole pictures too unless they can be opened; the others all but payloads."""
    payload, header = layout.payload("a", SHA), layout.header("a", SHA)
    listed = {
        "birch": frozenset({"ledger/00000001/00000001", "media/a", "media/b", header}),
        "cedar": frozenset[str](),
        "elm": frozenset({payload}),
        "oak": frozenset[str](),
    }
    apart = frozenset({"elm", "oak"})
    assert owed("cedar", listed, apart) == Owed(
        ["ledger/00000001/00000001", header, "media/a", "media/b"][:1] + sorted([header, "media/a", "media/b"]), []
    )
    assert owed("elm", listed, apart) == Owed(["ledger/00000001/00000001"], ["media/b"])
    assert owed("oak", listed, apart) == Owed(["ledger/00000001/00000001", payload], ["media/b"])
    bare = {**listed, "birch": listed["birch"] - {header}}
    assert owed("elm", bare, apart).whole == ["media/a", "media/b"]


def test_a_new_locked_vault_needs_no_key() -> None:
    """Its payload is cut from a whole object that nobody opens; from then on it opens with a header from any keeper."""
    picture = b"a picture" * 9000
    name = hashlib.sha256(picture).hexdigest()
    birch, cedar, elm = (MemoryVault(vault) for vault in ("birch", "cedar", "elm"))
    sealed = seals.encrypt(picture, RECIPIENTS)
    give(split(name, sealed), elm, [birch, cedar])

    def look(data: bytes) -> bytes | None:
        return opened(data, name, str(IDENTITIES[1]))

    birch.objects = dict.fromkeys(birch.objects, b"altered")
    assert joined(name, [elm], [birch, cedar], look) == picture
    cedar.objects.clear()
    assert joined(name, [elm], [birch, cedar], look) is None


def test_new_vaults_are_filled_by_what_they_keep() -> None:
    """When the set changes a locked newcomer gets payloads, with headers in all others; any other gets whole pictures."""
    vaults = {name: MemoryVault(name) for name in ("birch", "cedar", "elm", "oak")}
    for name in ("birch", "cedar"):
        vaults[name].put_new(layout.ledger(1, 1), b"an entry")
        vaults[name].put_new("media/a", seals.encrypt(b"a picture", RECIPIENTS))
    run: Any = SimpleNamespace(
        newest=lambda: SimpleNamespace(vaults=tuple(vaults), k=2, number=2, nonce="22" * 16, parent=0),
        plan=SimpleNamespace(forced_to_stay=False),
        fleet=SimpleNamespace(locked=frozenset({"elm"})),
        world=SimpleNamespace(vaults=vaults, signer=SimpleNamespace(verify=lambda *_: True, sign=lambda _: "signed")),
    )
    step = Step("fill", "fill", "acorn", Phase.DATA, "", {"vaults": ["elm", "oak"]})
    assert fill(run, step) == {"copied": {"elm": 2, "oak": 2}}
    payload = next(key for key in vaults["elm"].list(layout.MEDIA))
    header = payload.replace(".payload", ".header")
    filled = layout.filled(2)
    assert vaults["elm"].list("") == [filled, layout.ledger(1, 1), payload]
    assert vaults["oak"].list("") == [filled, layout.ledger(1, 1), "media/a", header]
    for name in ("birch", "cedar"):
        assert vaults[name].list("") == [layout.ledger(1, 1), "media/a", header]
    whole = vaults["oak"].objects[header] + vaults["elm"].objects[payload]
    assert seals.decrypt(whole, str(IDENTITIES[0])) == b"a picture"
    assert fill(run, step) == {"copied": {"elm": 0, "oak": 0}}
    run.newest = lambda: SimpleNamespace(vaults=("cedar", "elm"), k=2, number=3, nonce="33" * 16, parent=0)
    assert fill(run, replace(step, args={"vaults": ["elm"]})) == {"copied": {"elm": 2}}
    assert openable(vaults["elm"].list(layout.MEDIA), ()) == {"a"}, "the set shrank, and elm counts with whole pictures"


class Kept(MemoryVault):
    """A vault whose store keeps what was put first."""

    def __init__(self, name: str, first: Mapping[str, bytes]) -> None:
        super().__init__(name)
        self.firsts = first

    def first(self, key: str) -> bytes | None:
        """The oldest version."""
        return self.firsts.get(key)


def test_junk_in_one_vault_stops_nobody() -> None:
    """What one vault has damaged is taken from another, or as it was put first; what is nowhere an age file is told and left."""
    good = seals.encrypt(b"a picture", RECIPIENTS)
    birch, cedar, elm = Kept("birch", {"media/b": good}), MemoryVault("cedar"), MemoryVault("elm")
    for key in ("media/a", "media/b", "media/x", "media/a.b", "media/../a"):
        birch.put_new(key, b"junk")
    cedar.put_new("media/a", good)
    vaults: dict[str, Any] = {"birch": birch, "cedar": cedar, "elm": elm}
    run: Any = SimpleNamespace(
        newest=lambda: SimpleNamespace(vaults=tuple(vaults), k=2, number=2, nonce="22" * 16, parent=0),
        plan=SimpleNamespace(forced_to_stay=False),
        fleet=SimpleNamespace(locked=frozenset({"elm"})),
        world=SimpleNamespace(vaults=vaults, signer=SimpleNamespace(verify=lambda *_: True, sign=lambda _: "signed")),
    )
    step = Step("fill", "fill", "acorn", Phase.DATA, "", {"vaults": ["elm"]})
    assert fill(run, step) == {"copied": {"elm": 2}, "unreadable": {"elm": ["x"]}}
    assert {layout.picture(key) for key in elm.list(layout.MEDIA)} == {"a", "b"}

    elm.objects.clear()
    config: Any = SimpleNamespace(
        record=SimpleNamespace(number=1, vaults=tuple(vaults), k=2),
        apart=frozenset({"elm"}),
        open=lambda: vaults,
        open_to_write=lambda names: {name: vaults[name] for name in names},
    )
    done = catch_up.main(config, "elm", "0/0", "0/0")
    assert (done["objects"], done["unreadable"]) == (2, ["x"])

    def silent(key: str) -> bytes | None:
        raise VaultError("cedar could not get it", "It does not answer.", "Again.")

    birch.put_new("media/c", b"junk")
    cedar.put_new("media/c", good)
    cedar.get = silent  # type: ignore[method-assign]
    with pytest.raises(VaultError, match="media/c can't be copied"):
        fill(run, step)


class Unsure(MemoryVault):
    """A vault that takes an object and breaks off before it says so, the first time."""

    told = True

    def put_new(self, key: str, data: bytes) -> bool:
        """Create, and say nothing the first time."""
        created = super().put_new(key, data)
        if not self.told:
            return created
        self.told = False
        raise VaultError("elm could not put it", "The connection ended.", "Again.")


def test_no_payload_is_left_without_its_header(tmp_path: Path) -> None:
    """A put whose answer was lost is repeated as it was; a header that a killed ship left on the disk still gets there.

    One that was queued for a vault before that was locked goes to the others, and never under the lock.
    """
    birch, cedar, elm = MemoryVault("birch"), MemoryVault("cedar"), Unsure("elm")
    paths = SimpleNamespace(outbox=tmp_path / "outbox", held=tmp_path / "held", spool=tmp_path / "spool")
    config: Any = SimpleNamespace(
        paths=paths, record=SimpleNamespace(k=2), root=1, recipients=RECIPIENTS, apart=frozenset({"elm"})
    )
    lease: Any = SimpleNamespace(following=None)
    (tmp_path / "outbox/media").mkdir(parents=True)
    outbox = Outbox(config, {"birch": birch, "cedar": cedar, "elm": elm}, lease)
    (outbox.queue("elm").headers / f"other.{SHA}").write_bytes(b"header")
    (outbox.queue("elm").folder / f"header/queued.{SHA}").write_bytes(b"from before elm was locked")
    outbox = Outbox(config, {"birch": birch, "cedar": cedar, "elm": elm}, lease)
    assert outbox.backlog("elm") == (0, 0)
    (tmp_path / "outbox/media/post3").write_bytes(b"a picture")
    outbox.start()
    wait_until(lambda: elm.list("") and not any(outbox.backlog(v)[0] for v in ("birch", "cedar", "elm")), "the outbox")
    outbox.stop()
    (payload,) = elm.list("")
    for keeper in (birch, cedar):
        assert set(keeper.list("")) == {
            "media/post3",
            layout.header("other", SHA),
            layout.header("queued", SHA),
            payload.replace(".payload", ".header"),
        }
    assert joined("post3", [elm], [birch, cedar], lambda data: seals.decrypt(data, str(IDENTITIES[0]))) == b"a picture"


def test_what_an_earlier_build_kept_apart_opens() -> None:
    """A golden picture in two parts, under the names of then: this build finds, joins and opens it."""
    golden = json.loads(GOLDEN.read_text())
    objects = {key: bytes.fromhex(data) for key, data in golden["objects"].items()}
    elm, birch = MemoryVault("elm"), MemoryVault("birch")
    for key, data in objects.items():
        (elm if key.endswith(".payload") else birch).put_new(key, data)

    def look(data: bytes) -> bytes | None:
        return opened(data, golden["picture"], golden["identity"])

    plain = joined(golden["picture"], [elm], [birch], look)
    assert plain is not None
    assert hashlib.sha256(plain).hexdigest() == golden["picture"]
