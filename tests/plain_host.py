"""A plain Debian 12 host for tests: systemd-nspawn in a namespace of its own, and the way in."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience import caches
from resilience.adapters.ssh import Login
from resilience.model import SiteOutputs

OURS, THEIRS = "198.18.250.1", "198.18.250.100"
NEW_NETWORK = 0x40000000
BOOT = """
set -e
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=0755 nspawn /run/systemd/nspawn
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" host "$2/root"
if [ -e "$2/disk" ]; then
  mkdir -p "$2/volume" && mount -o loop "$2/disk" "$2/volume"
  for name in etc/resilience var/lib/resilience; do
    mkdir -p "$2/volume/$name" "$2/root/$name" && mount --bind "$2/volume/$name" "$2/root/$name"
  done
fi
exec systemd-nspawn --quiet --directory="$2/root" --machine="$3" --boot --keep-unit --register=no \
  --network-namespace-path="/run/netns/$3" --resolv-conf=off --timezone=off --link-journal=no --console=pipe
"""
NUMBERS = count(1)


@dataclass(frozen=True)
class PlainHost:
    """A host that runs, and how to get in: only from its `network`, which has nobody else in it."""

    network: str
    """The network namespace next to the host's."""
    login: Login
    folder: Path

    @property
    def outputs(self) -> SiteOutputs:
        """As a stack would export it."""
        return SiteOutputs("acorn", "acorn", (self.login.address,), (self.login.host_key,))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and what it starts, is in the host's neighbourhood."""
        with entered(self.network):
            yield


def key_pair(path: Path) -> str:
    """Write an Ed25519 key pair in OpenSSH's forms; the public half."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()
    path.touch(mode=0o600)
    path.write_bytes(private)
    path.with_name(f"{path.name}.pub").write_text(f"{public}\n")
    return public


@contextmanager
def entered(space: str) -> Iterator[None]:
    """Move this thread into a network namespace for as long as the block lasts."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{space}", os.O_RDONLY)
    try:
        assert libc.setns(there, NEW_NETWORK) == 0, os.strerror(ctypes.get_errno())
        yield
    finally:
        assert libc.setns(home, NEW_NETWORK) == 0, os.strerror(ctypes.get_errno())
        os.close(there)
        os.close(home)


@contextmanager
def plain_host(*, disk: bool = False) -> Iterator[PlainHost]:
    """Boot a host; gone without a trace when the block ends. With a disk, what is ours lies on an ext4 of its own."""
    with _spaces("near", "host") as (near, host), tempfile.TemporaryDirectory(prefix="plain-host-") as name:
        folder = Path(name)
        _cable(near, host)
        key = folder / "operator"
        public = key_pair(key)
        host_key = _personalise(folder, public)
        if disk:
            make_disk(folder / "disk")
        process = _boot(folder, host)
        try:
            _wait_for_sshd(near, folder)
            yield PlainHost(near, Login(THEIRS, host_key, key), folder)
        finally:
            _switch_off(process)


def make_disk(path: Path, *options: str) -> None:
    """A file with an empty ext4 in it, which may encrypt unless told otherwise."""
    with path.open("wb") as file:
        file.truncate(600_000_000)
    _run("mkfs.ext4", "-q", "-b", "4096", *(options or ("-O", "encrypt")), str(path))


@contextmanager
def _spaces(*kinds: str) -> Iterator[tuple[str, ...]]:
    names = tuple(f"rt-{os.getpid()}-{next(NUMBERS)}-{kind}" for kind in kinds)
    try:
        for name in names:
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _cable(near: str, host: str) -> None:
    _run("ip", "link", "add", "eth0", "netns", near, "type", "veth", "peer", "name", "eth0", "netns", host)
    for space, address in ((near, OURS), (host, THEIRS)):
        _run("ip", "-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
        _run("ip", "-n", space, "link", "set", "eth0", "up")


def _personalise(folder: Path, public: str) -> str:
    """What a vendor's image gets at first boot: our key, a host key of its own."""
    upper = folder / "upper"
    for path in (folder / "work", folder / "root", upper / "etc/ssh", upper / "root/.ssh"):
        path.mkdir(parents=True)
    for path, mode in ((upper, 0o755), (upper / "root", 0o700), (upper / "root/.ssh", 0o700)):
        path.chmod(mode)
    authorized = upper / "root/.ssh/authorized_keys"
    authorized.write_text(f"{public}\n")
    authorized.chmod(0o600)
    (upper / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
    return key_pair(upper / "etc/ssh/ssh_host_ed25519_key")


def _boot(folder: Path, space: str) -> subprocess.Popen[bytes]:
    """Start systemd on an overlay of the cached root, in a mount namespace of its own."""
    console = (folder / "console.log").open("wb")
    words = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", BOOT, "sh"]
    return subprocess.Popen(
        [*words, str(caches.rootfs()), str(folder), space],
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=console,
        start_new_session=True,
    )


def _wait_for_sshd(near: str, folder: Path) -> None:
    """Return when somebody listens at port 22; fail with the console otherwise."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            with entered(near), socket.create_connection((THEIRS, 22), timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError((folder / "console.log").read_text()[-2000:])


def _switch_off(process: subprocess.Popen[bytes]) -> None:
    """Kill the host like a power cut; its processes go with its process namespace."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in [*map(int, children), process.pid]:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    for pid in map(int, children):
        while Path(f"/proc/{pid}/cgroup").exists():
            time.sleep(0.02)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)
