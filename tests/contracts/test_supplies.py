"""Supplies in real vaults: put once, found again, fetched whole by a host's own script."""

from __future__ import annotations

import hashlib
import io
import json
import math
import tarfile
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from resilience.adapters import supplies
from resilience.adapters.kit import Kit
from resilience.adapters.memory_vault import MemoryVault
from resilience.adapters.signer import KitSigner
from resilience.adapters.supplies import VaultSupplies, pack_code
from resilience.errors import MissingPart
from resilience.host import fetch
from resilience.keys import keep
from resilience.model import Fleet, Names, Promise, Replication, VaultSpec
from resilience.ports import Vault
from resilience.replication import seals
from resilience.replication.manifest import PREFIX, Manifest, Part
from resilience.replication.vaults import open_vault
from tests.vault_servers import Store, fake_gcs, make_bucket, seaweed

NUMBERS = count(1)
OPERATOR = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
CONTENTS = {"debs.tar": b"packages" * 400_000, "env.tar.gz": b"environment" * 1000, "restic": b"restic" * 1000}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Store]]:
    """A real store of each kind."""
    folder: Path = tmp_path_factory.mktemp("stores")
    with seaweed(folder / "s3") as s3, fake_gcs(folder / "gcs") as gcs:
        yield {"birch": gcs, "cedar": s3}


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Supplies as bootstrap makes them, small, where the caches say they are."""
    made = tmp_path / "cache/supplies"
    made.mkdir(parents=True)
    files = {}
    for name, data in CONTENTS.items():
        (made / name).write_bytes(data)
        files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (made / "manifest.json").write_text(json.dumps({"files": files, "digest": "whole"}))
    (tmp_path / "cache/current.json").write_text(json.dumps({"supplies": str(made)}))
    monkeypatch.setenv("RESILIENCE_CACHE", str(tmp_path / "cache"))
    return made


@pytest.fixture
def ours(stores: dict[str, Store], directory: Path, tmp_path: Path) -> VaultSupplies:
    """The port on two empty vaults, one of each kind."""
    assert directory.exists()
    kit = tmp_path / "kit"
    (kit / "vaults").mkdir(parents=True)
    specs, vaults = [], {}
    for name, store in stores.items():
        bucket = make_bucket(store, f"{name}-{next(NUMBERS)}")
        spec = VaultSpec(name, name, store.kind, store.endpoint, bucket.bucket)  # type: ignore[arg-type]
        (kit / "vaults" / f"{name}.json").write_text(json.dumps(store.credentials))
        specs.append(spec)
        vaults[name] = open_vault(spec, store.credentials["operator"])
    keep(kit / "operator.key", OPERATOR)
    return VaultSupplies(_fleet(tuple(specs)), Kit(kit), vaults, KitSigner(Kit(kit)))


def _fleet(vaults: tuple[VaultSpec, ...]) -> Fleet:
    names, promise, rules = Names("plaza.test", 30, ()), Promise(90, 2), Replication(2, 2)
    return Fleet("plaza", "plaza", (), (), vaults, names, promise, rules)


def _fetched(file: Mapping[str, object], folder: Path) -> tuple[str, bytes]:
    """What a host's script gets, and from which vault."""
    path = folder / str(file["name"])
    source, _ = fetch.fetch(dict(file), path, math.inf, fetch.Line(1))
    return source, path.read_bytes()


def test_each_vault_alone_gives_everything(ours: VaultSupplies, tmp_path: Path) -> None:
    """What was put is fetched whole from any one vault, by links that the reader's right makes."""
    put = ours.put()
    for vault in ours.vaults:
        (folder := tmp_path / vault).mkdir()
        found = ours.sources([vault])
        got = {file["name"]: _fetched(file, folder) for file in found["files"]}
        assert found["digest"] == put["digest"]
        assert {source for source, _ in got.values()} == {vault}
        assert {name: data for name, (_, data) in got.items() if name in CONTENTS} == CONTENTS
        assert got["src.tar.gz"][1] == pack_code(supplies.PACKAGE)


def test_a_second_time_puts_nothing(ours: VaultSupplies) -> None:
    """What a vault holds is not sent again."""
    first, second = ours.put(), ours.put()
    assert all(size > 0 for size in first["vaults"].values())
    assert second == {**first, "vaults": dict.fromkeys(ours.vaults, 0)}


def test_a_vault_without_a_door_is_given_nothing(ours: VaultSupplies) -> None:
    """Whoever plans without a lost vendor's vault does not call it for supplies either."""
    lost, left = ours.vaults
    assert list(ours.without(frozenset({lost})).put()["vaults"]) == [left]
    assert ours.vaults[lost].list("supplies/") == []


def test_an_altered_file_is_taken_from_another_vault(ours: VaultSupplies, tmp_path: Path) -> None:
    """A vault that changed one byte is found out, named, and passed over."""
    ours.put()
    found = ours.sources(ours.vaults)["files"]
    restic = next(file for file in found if file["name"] == "restic")
    first = ours.vaults[restic["sources"][0]["vault"]]
    key = f"supplies/{restic['sha256']}/restic"
    first.delete(key)
    first.put_new(key, b"x" + CONTENTS["restic"][1:])
    source, refused = fetch.fetch(restic, tmp_path / "restic", math.inf, fetch.Line(1))
    assert source == restic["sources"][1]["vault"]
    assert "altered" in refused[0]
    assert (tmp_path / "restic").read_bytes() == CONTENTS["restic"]


def test_a_missing_file_is_taken_from_another_vault(ours: VaultSupplies, tmp_path: Path) -> None:
    """A vault that lost a file does not stop a host."""
    ours.put()
    for file in ours.sources(ours.vaults)["files"]:
        ours.vaults[file["sources"][0]["vault"]].delete(f"supplies/{file['sha256']}/{file['name']}")
        source, refused = fetch.fetch(file, tmp_path / file["name"], math.inf, fetch.Line(1))
        assert source == file["sources"][1]["vault"]
        assert "404" in refused[0]


def test_when_no_vault_has_it_each_is_named(ours: VaultSupplies, tmp_path: Path) -> None:
    """A file that is whole nowhere stops the host, and every vault's answer is told."""
    ours.put()
    file = ours.sources(ours.vaults)["files"][0]
    for vault in ours.vaults.values():
        vault.delete(f"supplies/{file['sha256']}/{file['name']}")
    with pytest.raises(fetch.Failed) as caught:
        fetch.fetch(file, tmp_path / "file", math.inf, fetch.Line(1))
    assert all(name in str(caught.value) for name in ours.vaults)


def test_load_is_shared(ours: VaultSupplies) -> None:
    """Files begin at different vaults, so that both work at once."""
    ours.put()
    first = [file["sources"][0]["vault"] for file in ours.sources(ours.vaults)["files"]]
    assert set(first) == set(ours.vaults)


def test_only_the_named_vaults_are_asked(ours: VaultSupplies) -> None:
    """A vault at a dead vendor is not named, so no link leads there."""
    ours.put()
    links = [source["url"] for file in ours.sources(["birch"])["files"] for source in file["sources"]]
    assert links
    assert not any(ours.fleet.vault("cedar").endpoint in link for link in links)


def test_a_machine_without_supplies_finds_the_newest(ours: VaultSupplies, monkeypatch: pytest.MonkeyPatch) -> None:
    """On another machine the vaults say what belongs together."""
    put = ours.put()
    monkeypatch.setenv("RESILIENCE_CACHE", "/nowhere")
    assert ours.sources(ours.vaults)["digest"] == put["digest"]


def test_newer_code_that_was_never_put_is_not_used(ours: VaultSupplies, directory: Path) -> None:
    """What this machine made since, and no vault holds, is not promised to a host."""
    put = ours.put()
    listed = json.loads((directory / "manifest.json").read_text())
    listed["files"]["restic"]["sha256"] = "0" * 64
    (directory / "manifest.json").write_text(json.dumps(listed))
    assert ours.sources(ours.vaults)["digest"] == put["digest"]


def test_no_supplies_anywhere_is_said(ours: VaultSupplies, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty vaults and no cache: what is missing and what makes it."""
    monkeypatch.setenv("RESILIENCE_CACHE", "/nowhere")
    with pytest.raises(MissingPart, match="No vault holds supplies"):
        ours.sources(ours.vaults)


def _other() -> seals.Sign:
    return seals.signer(Ed25519PrivateKey.generate())


def _bumped(data: bytes) -> bytes:
    return json.dumps({**json.loads(data), "made": 9e9}).encode()


def _swapped(data: bytes) -> bytes:
    told = json.loads(data)
    part = {"name": "restic", "sha256": "0" * 64, "bytes": 9}
    return json.dumps({**told, "parts": [part, *told["parts"]]}).encode()


def _unsigned(data: bytes) -> bytes:
    told = json.loads(data)
    del told["signature"]
    return json.dumps(told).encode()


@pytest.mark.parametrize("alter", [_bumped, _swapped, _unsigned, lambda _: b"junk", lambda _: b"[1]"])
def test_a_vendor_that_alters_a_manifest_is_noticed_before_anything_is_installed(
    ours: VaultSupplies, monkeypatch: pytest.MonkeyPatch, alter: Callable[[bytes], bytes]
) -> None:
    """Every vault's manifest is altered: a machine without supplies installs nothing, and is told which."""
    put = ours.put()
    key = f"{PREFIX}{put['digest']}.json"
    for vault in ours.vaults.values():
        altered = alter(vault.get(key) or b"")
        vault.delete(key)
        vault.put_new(key, altered)
    monkeypatch.setenv("RESILIENCE_CACHE", "/nowhere")
    with pytest.raises(MissingPart, match="no list that the operator signed") as caught:
        ours.sources(ours.vaults)
    assert all(name in caught.value.why for name in ours.vaults)


def test_a_forged_manifest_of_tomorrow_is_passed_over(ours: VaultSupplies, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another key signs a newer one, and the true one lies under another name too: what the operator signed counts."""
    put = ours.put()
    key = f"{PREFIX}{put['digest']}.json"
    true = Manifest.from_bytes(ours.vaults["birch"].get(key) or b"", ours.signer.verify)
    assert true is not None
    forged = Manifest((Part("restic", "0" * 64, 9), *true.parts), 9e9)
    ours.vaults["birch"].put_new(forged.key, forged.to_bytes(_other()))
    ours.vaults["cedar"].put_new(f"{PREFIX}{'f' * 64}.json", true.to_bytes(ours.signer.sign))
    monkeypatch.setenv("RESILIENCE_CACHE", "/nowhere")
    assert ours.sources(ours.vaults)["digest"] == put["digest"]


def test_a_name_that_somebody_took_is_told(ours: VaultSupplies, directory: Path) -> None:
    """A vault that already holds another manifest under our name is named as failed; the others get theirs."""
    manifest, _ = supplies.local_manifest(directory)
    ours.vaults["cedar"].put_new(manifest.key, b"junk")
    put = ours.put()
    assert set(put["vaults"]) == {"birch"}
    assert "did not sign" in put["failed"]["cedar"]


def test_our_code_packs_the_same_every_time(tmp_path: Path) -> None:
    """The tar is byte for byte the same, holds what hosts run, and nothing of this machine."""
    first = pack_code(supplies.PACKAGE)
    assert pack_code(supplies.PACKAGE) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        members = tar.getmembers()
    names = {member.name for member in members}
    assert {"resilience/__init__.py", "resilience/plaza/__main__.py", "resilience/replication/ship.py"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith("resilience/lab/")]
    assert {(member.uid, member.gid, member.uname, member.mtime) for member in members} == {(0, 0, "", 0)}


def test_a_manifest_comes_last(directory: Path, tmp_path: Path) -> None:
    """A run that was killed leaves files without a manifest, and the next one completes them."""
    assert directory.exists()
    manifest, code = supplies.local_manifest(directory)
    vault: Vault = MemoryVault("memory")
    keep(tmp_path / "operator.key", OPERATOR)
    signer = KitSigner(Kit(tmp_path))
    vault.put_new(manifest.parts[0].key, (directory / manifest.parts[0].name).read_bytes())
    with pytest.raises(MissingPart):
        supplies.newest({"memory": vault}, signer.verify)
    supplies._put(vault, manifest, code, directory, signer)
    assert supplies.newest({"memory": vault}, signer.verify).digest == manifest.digest
    assert all(vault.exists(part.key) for part in manifest.parts)
