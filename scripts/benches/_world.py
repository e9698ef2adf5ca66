"""What the replication bench stands on: one store with TLS, a Postgres, and honest CPU accounting."""

from __future__ import annotations

import atexit
import ctypes
import datetime as dt
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(CHECKOUT))

import boto3  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.x509.oid import NameOID  # noqa: E402

from resilience.model.rights import PRINCIPALS  # noqa: E402
from tests.replication.harness import Fleet, Site  # noqa: E402
from tests.vault_servers import SECRET, WEED, Store, free_ports, make_bucket, running  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
SUBREAPER = 36
DAEMONS = ("postgres", "pgbackrest")


@contextmanager
def store(folder: Path) -> Iterator[tuple[Store, int]]:
    """One SeaweedFS for everybody: S3 on plain HTTP, and the same with TLS, which pgBackRest insists on."""
    (folder / "data").mkdir(parents=True)
    _certificate(folder)
    keys = [{"accessKey": "operator", "secretKey": SECRET}]
    identity = {"name": "operator", "credentials": keys, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    master, volume, filer, s3, tls = free_ports(5)
    argv = [str(WEED), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    argv += ["-master.volumeSizeLimitMB=64", f"-master.port={master}", f"-volume.port={volume}", "-volume.max=0"]
    argv += ["-filer", f"-filer.port={filer}", "-s3", f"-s3.port={s3}", f"-s3.config={folder / 's3.json'}"]
    argv += [f"-s3.port.https={tls}", f"-s3.cert.file={folder / 'tls.crt'}", f"-s3.key.file={folder / 'tls.key'}"]
    argv += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    url = f"http://127.0.0.1:{s3}"
    who = {"access_key_id": "operator", "secret_access_key": SECRET}
    with running(argv, url, folder / "weed.log", folder):
        yield Store("s3", url, dict.fromkeys(PRINCIPALS, who)), tls


@contextmanager
def new_store(*, elsewhere: bool = False) -> Iterator[tuple[Store, int]]:
    """Such a store, with nothing in it, whose files go when it does.

    One that stands for a store elsewhere has its files in memory and runs where nobody else would (`SCHED_IDLE`): it takes
    neither this machine's disk nor its cores from those that are measured.
    """
    memory = "/dev/shm" if elsewhere else None  # noqa: S108 - a folder of its own is made there
    with tempfile.TemporaryDirectory(prefix="resilience-bench-", dir=memory) as folder, ExitStack() as stack:
        with _idle() if elsewhere else nullcontext():
            found = stack.enter_context(store(Path(folder) / "s3"))
        yield found


@contextmanager
def _idle() -> Iterator[None]:
    """What is begun meanwhile runs only where a core has nothing else to do."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + dt.timedelta(days=2))
    made = builder.sign(key, hashes.SHA256())
    (folder / "tls.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "tls.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )


def fleet(at: Store, tag: str, *, durability: str, spacing_ms: int) -> Fleet:
    """Three vaults, k = s = 2."""
    names = ("birch", "cedar", "elm")
    vaults = {name: (at, replace(make_bucket(at, f"{name}-{tag}"), name=name)) for name in names}
    return Fleet(vaults, durability=durability, spacing_ms=spacing_ms)


def run_in_memory(site: Site) -> Site:
    """Status, lease and metrics are in memory, as on a host (`/run`), and not on the disk that commits wait for."""
    memory = tempfile.mkdtemp(dir="/dev/shm", prefix="resilience-bench-")
    atexit.register(shutil.rmtree, memory, ignore_errors=True)
    (site.folder / "run").rmdir()
    (site.folder / "run").symlink_to(memory)
    return site


def stored(at: Store, bucket: str, prefix: str = "") -> int:
    """Bytes of the objects in a bucket."""
    who = at.credentials["operator"]
    client = boto3.client(
        "s3",
        endpoint_url=at.endpoint,
        region_name="us-east-1",
        aws_access_key_id=who["access_key_id"],
        aws_secret_access_key=who["secret_access_key"],
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return sum(entry["Size"] for page in pages for entry in page.get("Contents", []))


def adopt_orphans() -> None:
    """Daemons that we start become our children, so that what they used is counted when they end."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    threading.Thread(target=_reap, daemon=True).start()


def _reap() -> None:
    """Take the status of daemons that ended; whoever is waited for elsewhere has another name."""
    while True:
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
                if name in DAEMONS and rest.split()[0] == "Z" and int(rest.split()[1]) == os.getpid():
                    os.waitpid(int(entry.name), os.WNOHANG)
        time.sleep(0.1)


def cpu_seconds(without: set[int]) -> float:
    """CPU time that our descendants have used so far, but for these and theirs."""
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)], used[int(entry.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    ours = 0
    for pid, ticks in used.items():
        line = [pid]
        while (parent := parents.get(line[-1], 0)) > 1 and parent != os.getpid():
            line.append(parent)
        if parent == os.getpid() and not without & set(line):
            ours += ticks
    dead = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ours / TICKS + dead.ru_utime + dead.ru_stime


def pgbench(site: Site, *argv: str, database: str = "postgres") -> str:
    """Pgbench against a site; what it said."""
    where = ["-h", str(site.folder / "socket"), "-p", str(site.port), "-U", "postgres", *argv, database]
    done = subprocess.run([str(site.bin / "pgbench"), *where], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"pgbench failed:\n{done.stderr[-2000:]}")
    return done.stdout


def until(condition: object, seconds: float = 120.0) -> None:
    """Poll until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            sys.exit("the bench waited in vain")
        time.sleep(0.05)


__all__ = ["CHECKOUT", "Fleet", "Site", "Store", "fleet", "store"]
