"""With every credential of the primary's host at a real S3 store that has the lab's rights: each attack, refused or survived."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from resilience import caches
from resilience.adapters.s3 import S3Vault
from resilience.engine.probe import probe
from resilience.engine.revert import revert
from resilience.errors import VaultError
from resilience.lab import places, rights
from resilience.model import VaultSpec
from resilience.model.rights import PRINCIPALS
from resilience.replication.originals import read_good
from tests.vault_servers import free_ports, running, seaweed_argv

BUCKET = places.VAULT_BUCKET
KEPT = (
    "wal/00000001/0000000001000000",
    "media/" + "a" * 64,
    f"media/{'a' * 64}.{'b' * 64}.header",
    "ledger/00000001/00000001",
    "label/00000001/0000000001000000-ab.json",
    "epoch/00000001.json",
    "verified/elm/000000000000001.json",
    "supplies/signed-0.json",
    "state/acorn/1.json",
    "standby/00000001/data/ab/abab",
    "standby/00000001/snapshots/ab",
)


@dataclass(frozen=True)
class Bucket:
    """A vault's bucket as each principal sees it."""

    spec: VaultSpec
    principals: dict[str, S3Vault]

    @property
    def ship(self) -> S3Vault:
        """What the thief has."""
        return self.principals["ship"]

    @property
    def operator(self) -> S3Vault:
        """What only the kit has."""
        return self.principals["operator"]


def _keys(who: str) -> dict[str, str]:
    return {"access_key_id": f"{who:A<20}", "secret_access_key": f"{who:s<30}"}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """SeaweedFS with the lab's identities, versions and policy."""
    folder: Path = tmp_path_factory.mktemp("stolen") / "weed"
    identities = rights.s3_identities(_keys("root"), {who: _keys(who) for who in PRINCIPALS})
    *ports, port = free_ports(4)
    argv = seaweed_argv(folder, identities, (*ports, port))
    url = f"http://127.0.0.1:{port}"
    with running(argv, url, folder / "weed.log", folder):
        root = _keys("root")
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=root["access_key_id"],
            aws_secret_access_key=root["secret_access_key"],
        )
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        client.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(rights.s3_policy(BUCKET)))
        spec = VaultSpec("elm", "elm", "s3", url, BUCKET)
        vaults = {who: S3Vault(spec, **_keys(who)) for who in PRINCIPALS}
        yield Bucket(spec, vaults)


ATTACKS: dict[str, Callable[[S3Vault, str], object]] = {
    "delete": lambda ship, key: ship.delete(key),
    "erase": lambda ship, key: ship.erase(key),
    "read": lambda ship, key: ship.get(key),
    "read what was first": lambda ship, key: ship.first(key),
    "list": lambda ship, key: ship.list(key.split("/")[0] + "/"),
    "revert": lambda ship, _key: ship.written_over(),
}


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_nothing_is_removed_read_or_listed(bucket: Bucket, attack: str) -> None:
    """Each is refused for every kind of object, and the object is there as it was; epochs alone may be looked at."""
    for key in KEPT:
        bucket.operator.put_new(key, b"kept")
        if key.startswith("epoch/") and attack in {"read", "read what was first", "list"}:
            continue
        with pytest.raises(VaultError, match="AccessDenied"):
            ATTACKS[attack](bucket.ship, key)
        assert bucket.principals["reader"].get(key) == b"kept"


def test_what_is_written_over_is_refused_or_survives(bucket: Bucket) -> None:
    """Epochs, proofs, states and supplies can't be written over; of the rest every reader still finds what was first."""
    reader, survived = bucket.principals["reader"], []
    for key in KEPT:
        bucket.operator.put_new(key, b"kept")
        try:
            bucket.ship.put_over(key, b"ruined")
        except VaultError:
            assert reader.get(key) == b"kept"
            continue
        survived.append(key.split("/")[0])
        assert read_good(reader, key, lambda data: data == b"kept" or None) == (b"kept", True)
    assert survived == ["wal", "media", "media", "ledger", "label"]
    assert revert(bucket.operator, really=True)["written_over"] == len(survived)
    assert [reader.get(key) for key in KEPT] == [b"kept"] * len(KEPT)


def test_nothing_is_forged(bucket: Bucket) -> None:
    """An epoch, a proof, a state, supplies: a thief may put none of them, under whatever number."""
    for key in (
        "epoch/00000009.json",
        "epoch/00000009.sealed",
        "verified/elm/9.json",
        "state/acorn/9.json",
        "supplies/x",
        "standby/00000001/index/ab",
    ):
        with pytest.raises(VaultError, match="AccessDenied"):
            bucket.ship.put_new(key, b"forged")


def test_a_probe_finds_nothing_open(bucket: Bucket) -> None:
    """So `status` has nothing to say against this vault."""
    seen = probe("elm", dict(bucket.principals))
    assert {trial.name: trial.said for trial in seen.trials if trial.outcome != "pass"} == {}


def _restic(bucket: Bucket, folder: str) -> Callable[..., bool]:
    """Runs restic as somebody on one repository; whether that went through."""
    repository = f"s3:{bucket.spec.endpoint}/{BUCKET}/{folder}"

    def run(who: str, *argv: str) -> bool:
        keys = _keys(who)
        environment = {**os.environ, "RESTIC_PASSWORD": "test", "RESTIC_REPOSITORY": repository}
        environment |= {"AWS_ACCESS_KEY_ID": keys["access_key_id"], "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"]}
        done: Any = subprocess.run(
            [str(caches.restic()), "--no-cache", *argv], env=environment, capture_output=True, check=False, timeout=300
        )
        return bool(done.returncode == 0)

    return run


def test_a_standbys_snapshots_are_out_of_reach(bucket: Bucket, tmp_path: Path) -> None:
    """A standby adds a snapshot, and neither reads it back nor removes it; the primary's credentials touch none of it."""
    restic = _restic(bucket, "standby/00000012")
    (tmp_path / "file").write_bytes(os.urandom(100_000))
    assert restic("operator", "init")
    assert restic("standby", "backup", "--force", str(tmp_path / "file"))
    assert not restic("standby", "restore", "latest", "--target", str(tmp_path / "stolen"))
    assert not restic("standby", "forget", "latest", "--prune")
    for key in bucket.operator.list("standby/00000012/"):
        for attack in (bucket.ship.delete, bucket.ship.get, lambda key: bucket.ship.put_over(key, b"ruined")):
            with pytest.raises(VaultError, match="AccessDenied"):
                attack(key)
    assert restic("reader", "restore", "latest", "--no-lock", "--target", str(tmp_path / "back"))


def test_a_snapshot_that_a_thief_wrote_over_comes_back(bucket: Bucket, tmp_path: Path) -> None:
    """Restic reads the newest version of each object, so a repository that was written over is ruined; reverted, it restores."""
    restic = _restic(bucket, "restic/00000011")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_bytes(os.urandom(100_000))

    def restores(name: str) -> bool:
        back = tmp_path / name
        if not restic("reader", "restore", "latest", "--no-lock", "--target", str(back)):
            return False
        return (back / str(tmp_path / "data/file").lstrip("/")).read_bytes() == (tmp_path / "data/file").read_bytes()

    assert restic("operator", "init")
    assert restic("ship", "backup", "--force", str(tmp_path / "data"))
    assert restores("before")
    assert not restic("ship", "forget", "latest", "--prune")
    refused = set()
    for key in bucket.operator.list("restic/00000011/"):
        try:
            bucket.ship.put_over(key, b"ruined")
        except VaultError:
            refused.add(key.split("/")[2])
    assert refused == {"config", "keys"}
    assert not restores("ruined")
    assert revert(bucket.operator, really=False)["written_over"] > 0
    assert not restores("still ruined")
    revert(bucket.operator, really=True)
    assert restores("after")
