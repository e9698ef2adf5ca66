"""Every credential of a vault is tried at everything it must be refused, on both kinds of store."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import boto3
import httpx
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from resilience import caches
from resilience.lab import Lab, damage, kit, places
from resilience.model import rights

pytestmark = pytest.mark.lab

BUCKET = places.VAULT_BUCKET
VAULTS = ("birch", "cedar")
KEYS = [
    "wal/00000001/0000000000000001",
    "media/aa",
    "ledger/00000001",
    "label/00000001/s.json",
    "restic/00000001/data/aa/aa",
    "restic/00000001/index/aa",
    "restic/00000001/snapshots/aa",
    "restic/00000001/keys/aa",
    "restic/00000001/config",
    "standby/00000001/data/aa/aa",
    "standby/00000001/index/aa",
    "standby/00000001/locks/aa",
    "standby/00000001/config",
    "epoch/00000001.json",
    "state/acorn.json",
    "supplies/aa/manifest.json",
]


def _fill(directory: Path, vault: str) -> None:
    operator = damage.open_as(directory, vault, "operator")
    for key in KEYS:
        assert operator.write(key, b"kept")


def _readable(store: damage.Objects, key: str) -> bool:
    try:
        return store.read(key) is not None
    except (ClientError, httpx.HTTPStatusError):
        return False


def _attack(directory: Path, vault: str, principal: str) -> dict[str, list[str]]:
    """What this principal managed, of everything."""
    _fill(directory, vault)
    store = damage.open_as(directory, vault, principal)
    return {
        "read": [key for key in KEYS if _readable(store, key)],
        "created": [key for key in KEYS if store.write(_fresh(key, principal), b"x")],
        "removed": [key for key in KEYS if store.remove(key)],
    }


def _fresh(key: str, principal: str) -> str:
    """A key of the same kind that nobody wrote yet."""
    epoch = f"{2 + rights.PRINCIPALS.index(principal):08d}"
    return key.replace("00000001", epoch) if "00000001" in key else f"{key}-{principal}"


def _expected(principal: str) -> dict[str, list[str]]:
    return {
        "read": [key for key in KEYS if rights.may(principal, "read", key)],
        "created": [key for key in KEYS if rights.may(principal, "create", _fresh(key, principal))],
        "removed": [key for key in KEYS if rights.may(principal, "remove", key)],
    }


@pytest.mark.parametrize("vault", VAULTS)
@pytest.mark.parametrize("principal", rights.PRINCIPALS)
def test_a_principal_can_do_what_the_table_says_and_nothing_else(
    lab: Lab, inside: object, vault: str, principal: str
) -> None:
    """Reading, creating and removing every kind of object, by every principal."""
    assert inside(_attack, lab.directory, vault, principal) == _expected(principal)  # type: ignore[operator]


def test_the_table_gives_ship_no_more_than_it_needs() -> None:
    """Stated once more by hand, so that a slip in the table is seen."""
    assert _expected("ship")["removed"] == []
    assert _expected("reader")["created"] == _expected("reader")["removed"] == []
    assert not [key for key in (*_expected("ship")["created"], *_expected("ship")["read"]) if "standby" in key]
    assert _expected("standby")["created"] == [key for key in KEYS if re.match("standby/.*/(data|index|locks)/", key)]
    assert "standby/00000001/data/aa/aa" not in _expected("standby")["read"]
    assert "media/aa" not in _expected("ship")["read"]
    assert "restic/00000001/data/aa/aa" not in _expected("ship")["read"]
    assert not rights.may("ship", "create", "epoch/00000002.json")
    assert not rights.may("ship", "create", "restic/00000001/keys/bb")
    assert not rights.may("ship", "list", "wal/")
    assert rights.may("ship", "remove", "restic/00000001/locks/aa")
    assert not rights.may("nobody", "read", "epoch/00000001.json")


def _may_list(directory: Path, vault: str, principal: str, prefix: str) -> bool:
    credentials = kit.read_principals(directory / "kit", vault)[principal]
    if vault == "birch":
        headers = {"Authorization": f"Bearer {credentials['token']}"}
        url = f"http://198.18.2.3/storage/v1/b/{BUCKET}/o?prefix={prefix}"
        return httpx.get(url, headers=headers).is_success
    try:
        _s3(credentials).list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    except ClientError:
        return False
    return True


def _s3(credentials: dict[str, str]):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return boto3.client(
        "s3",
        endpoint_url="http://198.18.3.3",
        region_name="us-east-1",
        aws_access_key_id=credentials["access_key_id"],
        aws_secret_access_key=credentials["secret_access_key"],
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.mark.parametrize("vault", VAULTS)
def test_ship_lists_epochs_and_snapshots_only(lab: Lab, inside: object, vault: str) -> None:
    """It may not look around in what it wrote."""
    seen = {
        prefix: inside(_may_list, lab.directory, vault, "ship", prefix)  # type: ignore[operator]
        for prefix in ("", "wal/", "media/", "ledger/", "epoch/", "restic/snapshots/")
    }
    assert [prefix for prefix, allowed in seen.items() if allowed] == ["epoch/", "restic/snapshots/"]


def _refused_s3(directory: Path) -> list[str]:
    """Everything else a thief would try with ship's and the operator's keys; what was not refused."""
    _fill(directory, "cedar")
    principals = kit.read_principals(directory / "kit", "cedar")
    ship, operator = _s3(principals["ship"]), _s3(principals["operator"])
    expire = {"Rules": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]}
    source = {"Bucket": BUCKET, "Key": "media/aa"}
    version = operator.head_object(Bucket=BUCKET, Key="media/aa")["VersionId"]
    tries: dict[str, Callable[[], object]] = {
        "ship reads the policy": lambda: ship.get_bucket_policy(Bucket=BUCKET),
        "ship removes the policy": lambda: ship.delete_bucket_policy(Bucket=BUCKET),
        "ship makes objects expire": lambda: ship.put_bucket_lifecycle_configuration(
            Bucket=BUCKET, LifecycleConfiguration=expire
        ),
        "ship stops versions": lambda: ship.put_bucket_versioning(
            Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}
        ),
        "ship removes a version": lambda: ship.delete_object(Bucket=BUCKET, Key="media/aa", VersionId=version),
        "ship removes the bucket": lambda: ship.delete_bucket(Bucket=BUCKET),
        "ship makes a bucket": lambda: ship.create_bucket(Bucket="other"),
        "ship copies a picture": lambda: ship.copy_object(Bucket=BUCKET, Key="wal/stolen", CopySource=source),
        "operator removes the policy": lambda: operator.delete_bucket_policy(Bucket=BUCKET),
        "operator stops versions": lambda: operator.put_bucket_versioning(
            Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"}
        ),
        "operator removes the bucket": lambda: operator.delete_bucket(Bucket=BUCKET),
    }
    open_ = []
    for what, attempt in tries.items():
        try:
            attempt()
            open_.append(what)
        except ClientError:
            continue
    errors = ship.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "media/aa"}]}).get("Errors", [])
    return open_ if errors else [*open_, "ship removes many at once"]


def test_nobody_takes_protection_from_the_s3_bucket(lab: Lab, inside: object) -> None:
    """Policy, versions and the bucket itself are out of reach of all three principals."""
    assert inside(_refused_s3, lab.directory) == []  # type: ignore[operator]


def _written_over(directory: Path) -> tuple[list[bytes], bool]:
    principals = kit.read_principals(directory / "kit", "cedar")
    ship, reader = _s3(principals["ship"]), _s3(principals["reader"])
    ship.put_object(Bucket=BUCKET, Key="wal/over", Body=b"first")
    ship.put_object(Bucket=BUCKET, Key="wal/over", Body=b"second")
    versions = reader.list_object_versions(Bucket=BUCKET, Prefix="wal/over")["Versions"]
    bodies = [
        reader.get_object(Bucket=BUCKET, Key="wal/over", VersionId=version["VersionId"])["Body"].read()
        for version in sorted(versions, key=lambda version: version["LastModified"])
    ]
    gcs = damage.open_as(directory, "birch", "ship")
    gcs.write("wal/over", b"first")
    return bodies, gcs.write("wal/over", b"second")


def test_what_ship_writes_over_is_not_lost(lab: Lab, inside: object) -> None:
    """S3 here cannot forbid it, so the first version stays readable; GCS refuses."""
    bodies, replaced = inside(_written_over, lab.directory)  # type: ignore[operator]
    assert sorted(bodies) == [b"first", b"second"]
    assert not replaced


def _race(directory: Path, vault: str) -> list[int]:
    """Four writers want one epoch; how many were told that it is theirs, three times over."""
    from concurrent.futures import ThreadPoolExecutor

    credentials = kit.read_principals(directory / "kit", vault)["operator"]
    client = None if vault == "birch" else _s3(credentials)

    def write(key: str, body: bytes) -> bool:
        if client is None:
            url = f"http://198.18.2.3/upload/storage/v1/b/{BUCKET}/o?uploadType=media&ifGenerationMatch=0&name={key}"
            headers = {"Authorization": f"Bearer {credentials['token']}"}
            return httpx.post(url, content=body, headers=headers, timeout=60).is_success
        try:
            client.put_object(Bucket=BUCKET, Key=key, Body=body, IfNoneMatch="*")
        except ClientError:
            return False
        return True

    winners = []
    with ThreadPoolExecutor(4) as pool:
        for turn in range(3):
            results = pool.map(write, [f"epoch/race-{turn}"] * 4, [bytes([number]) for number in range(4)])
            winners.append(sum(results))
    return winners


@pytest.mark.parametrize("vault", VAULTS)
def test_one_of_several_writers_gets_an_epoch(lab: Lab, inside: object, vault: str) -> None:
    """Conditional create holds when writers come at the same moment."""
    assert inside(_race, lab.directory, vault) == [1, 1, 1]  # type: ignore[operator]


def _strangers() -> list[int]:
    """What somebody without credentials, or with wrong ones, is answered."""
    nobody = boto3.client(
        "s3", endpoint_url="http://198.18.3.3", region_name="us-east-1", config=Config(signature_version=UNSIGNED)
    )
    codes = []
    for attempt in (
        lambda: nobody.get_object(Bucket=BUCKET, Key="media/aa"),
        lambda: nobody.list_objects_v2(Bucket=BUCKET),
        lambda: _s3({"access_key_id": "A" * 20, "secret_access_key": "b"}).list_objects_v2(Bucket=BUCKET),
    ):
        with pytest.raises(ClientError) as caught:
            attempt()
        codes.append(caught.value.response["ResponseMetadata"]["HTTPStatusCode"])
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        codes.append(httpx.get(f"http://198.18.2.3/storage/v1/b/{BUCKET}/o", headers=headers).status_code)
        codes.append(httpx.get(f"http://198.18.2.3/{BUCKET}/media/aa", headers=headers).status_code)
    return codes


def test_strangers_are_refused(lab: Lab, inside: object) -> None:
    """No credentials, and wrong ones."""
    assert lab.is_up()
    assert inside(_strangers) == [403, 403, 403, 401, 401, 401, 401]  # type: ignore[operator]


def _side_doors(directory: Path) -> list[int]:
    """Ways into the GCS bucket that go around its objects; and ports that SeaweedFS opens on the side."""
    token = kit.read_principals(directory / "kit", "birch")["operator"]["token"]
    api = httpx.Client(base_url="http://198.18.2.3", headers={"Authorization": f"Bearer {token}"})
    return [
        api.delete(f"/storage/v1/b/{BUCKET}").status_code,
        api.post("/storage/v1/b", json={"name": "other"}).status_code,
        api.get("/storage/v1/b").status_code,
        api.put("/_internal/config", json={"externalUrl": "http://x"}).status_code,
        api.post("/_internal/reseed").status_code,
        api.post("/batch/storage/v1", content=b"").status_code,
        api.get("/storage/v1/b/other/o").status_code,
        api.patch(f"/storage/v1/b/{BUCKET}", json={}).status_code,
    ]


def test_the_gcs_gate_has_no_side_doors(lab: Lab, inside: object) -> None:
    """Even the operator's token opens objects of the one bucket and nothing else."""
    codes = inside(_side_doors, lab.directory)  # type: ignore[operator]
    assert [code for code in codes if code != 403] == []


def _restic(directory: Path, vault: str, principal: str, cache: Path) -> dict[str, str]:
    credentials = kit.read_principals(directory / "kit", vault)[principal]
    environment = {**os.environ, "RESTIC_PASSWORD": "test", "RESTIC_CACHE_DIR": str(cache / principal)}
    if vault == "birch":
        environment |= {
            "STORAGE_EMULATOR_HOST": "http://198.18.2.3",
            "GOOGLE_PROJECT_ID": "plaza",
            "GOOGLE_ACCESS_TOKEN": credentials["token"],
            "RESTIC_REPOSITORY": f"gs:{BUCKET}:/restic/00000009",
        }
    else:
        environment |= {
            "AWS_ACCESS_KEY_ID": credentials["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": credentials["secret_access_key"],
            "RESTIC_REPOSITORY": f"s3:http://198.18.5.3/{BUCKET}/restic/00000009",
        }
    return environment


def _snapshots(directory: Path, vault: str, work: Path) -> dict[str, bool]:
    """Save through each principal: what it managed."""

    def run(principal: str, *argv: str) -> bool:
        environment = _restic(directory, vault, principal, work)
        done = subprocess.run(
            [str(caches.restic()), *argv], env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        return done.returncode == 0

    def kept() -> int:
        listing = [str(caches.restic()), "snapshots", "--json", "--no-lock"]
        environment = _restic(directory, vault, "reader", work)
        return len(json.loads(subprocess.run(listing, env=environment, capture_output=True, check=True).stdout))

    (work / "data").mkdir()
    (work / "data/file").write_bytes(os.urandom(100_000))
    return {
        "operator makes it": run("operator", "init"),
        "ship saves": run("ship", "backup", "--force", str(work / "data")),
        "ship restores": run("ship", "restore", "latest", "--target", str(work / "stolen")),
        "ship forgets": run("ship", "forget", "latest") and kept() == 0,
        "reader saves": run("reader", "backup", str(work / "data")),
        "reader restores": run("reader", "restore", "latest", "--no-lock", "--target", str(work / "back")),
        "it is the same": (work / "data/file").read_bytes()
        == (work / "back" / str(work / "data/file").lstrip("/")).read_bytes(),
        "operator checks": run("operator", "check", "--read-data"),
        "operator forgets": run("operator", "forget", "latest", "--prune"),
    }


@pytest.mark.parametrize("vault", ["birch", "elm"])
def test_snapshots_are_saved_by_ship_and_read_by_others(lab: Lab, inside: object, vault: str, tmp_path: Path) -> None:
    """With restic and the three principals: ship cannot read back or forget what it saved."""
    seen = inside(_snapshots, lab.directory, vault, tmp_path)  # type: ignore[operator]
    assert {what for what, done in seen.items() if not done} == {"ship restores", "ship forgets", "reader saves"}
