"""Hosts: a plain Debian 12 booted with systemd-nspawn on an overlay of one root file system."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from resilience.errors import ResilienceError
from resilience.lab import blackhole, network, places, processes
from resilience.lab.processes import Home

BOOT_WAIT_S = 120.0
DISK, DISK_BYTES = "disk", 64 << 30
"""A host's disk: a file with an ext4 in it, which takes no more room than what is written to it."""
BELOW = "below"
"""Where a host has a disk that was set aside, under the layer of its own."""
_BOOT = """
set -e
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=0755 nspawn /run/systemd/nspawn
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$5" "$2/root"
if [ -e "$2/disk" ]; then
  mkdir -p "$2/volume" && mount -o loop "$2/disk" "$2/volume"
  for name in etc/resilience var/lib/resilience; do
    mkdir -p "$2/volume/$name" "$2/root/$name" && mount --bind "$2/volume/$name" "$2/root/$name"
  done
fi
exec systemd-nspawn --quiet --directory="$2/root" --machine="$3" --hostname="$3" --boot --keep-unit --register=no \
  --network-namespace-path="/run/netns/$4" --resolv-conf=off --timezone=off --link-journal=no --console=pipe
"""


@dataclass(frozen=True, slots=True)
class HostSpec:
    """What a customer asks for."""

    name: str
    vendor: str
    address: str
    authorized_key: str
    host_key_private: str
    disk: bool = False
    """Whether it has a disk of its own, where what is ours lies; else all is in its layer over the root file system."""

    @property
    def full_name(self) -> str:
        """Unique in the lab."""
        return self.name if self.name.startswith(f"{self.vendor}-") else f"{self.vendor}-{self.name}"

    @property
    def space(self) -> str:
        """This host's network namespace."""
        return places.HOST_SPACE + self.full_name

    @property
    def process(self) -> str:
        """What its control groups are called."""
        return f"host-{self.full_name}"


def public_key(private: str) -> str:
    """The public half of an OpenSSH private key, as `ssh-ed25519 AAAA…`."""
    from cryptography.hazmat.primitives import serialization as form

    try:
        key = form.load_ssh_private_key(private.encode(), password=None)
    except ValueError as error:
        raise ResilienceError(
            "The host key cannot be used", str(error), "Give an OpenSSH private key without a passphrase."
        ) from error
    return key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode()


def boot(directory: Path, rootfs: Path, spec: HostSpec, home: Home) -> None:
    """Boot a host and return once its sshd listens."""
    place = directory / "hosts" / spec.full_name
    fresh = not place.exists()
    for part in ("upper", "work", "root"):
        (place / part).mkdir(parents=True, exist_ok=True)
    if fresh:
        _personalise(place / "upper", rootfs, spec)
        if spec.disk:
            _make_disk(place / DISK)
    if not network.exists(spec.space):
        plug = "h" + spec.address.removeprefix("198.18.")
        network.attach(spec.space, [spec.address], plug, home)
        blackhole.cover_new(directory, spec.space, home)
    script = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", _BOOT, "sh"]
    argv = [*script, _lower(place, rootfs), str(place), spec.name, spec.space, f"{places.PREFIX}host"]
    processes.start(directory, spec.process, argv, home=home)
    if not network.wait_for_port(spec.space, spec.address, 22, BOOT_WAIT_S):
        raise ResilienceError(
            f"Host {spec.full_name} did not come up",
            f"No sshd after {BOOT_WAIT_S:.0f} s; its console is {directory}/log/{spec.process}.log.",
            "Read the console; then resilience lab down, and try again.",
        )


def _make_disk(disk: Path) -> None:
    """A disk that may encrypt what lies on it, as a file system does once `tune2fs` told it to."""
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
    options = ["-O", "encrypt", "-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"]
    subprocess.run(["mkfs.ext4", "-q", "-b", "4096", *options, str(disk)], check=True, capture_output=True)


def _lower(place: Path, rootfs: Path) -> str:
    """What lies under a host's own layer."""
    below = place / BELOW
    return f"{below.resolve()}:{rootfs}" if below.exists() else str(rootfs)


def _personalise(upper: Path, rootfs: Path, spec: HostSpec) -> None:
    """What a vendor's image gets at first boot: name, address, keys, its own machine id."""
    files = {
        "etc/hostname": (f"{spec.name}\n", 0o644),
        "etc/hosts": (f"127.0.0.1 localhost\n{spec.address} {spec.name}\n", 0o644),
        "etc/resolv.conf": (f"nameserver {places.RESOLVER}\n", 0o644),
        "etc/machine-id": (f"{uuid.uuid4().hex}\n", 0o444),
        "etc/ssh/ssh_host_ed25519_key": (spec.host_key_private.rstrip("\n") + "\n", 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (public_key(spec.host_key_private) + "\n", 0o644),
        "root/.ssh/authorized_keys": (spec.authorized_key.rstrip("\n") + "\n", 0o600),
    }
    for name, (text, mode) in files.items():
        path = upper / name
        for parent in reversed(path.relative_to(upper).parents[:-1]):
            _like_below(upper / parent, rootfs / parent)
        path.write_text(text)
        path.chmod(mode)
    (upper / "root/.ssh").chmod(0o700)
    for kind in ("rsa", "ecdsa"):
        for suffix in ("", ".pub"):
            _white_out(upper / f"etc/ssh/ssh_host_{kind}_key{suffix}", rootfs)


def _like_below(path: Path, below: Path) -> None:
    """A folder with the mode it has in the root file system: an overlay shows the upper one's."""
    path.mkdir(exist_ok=True)
    if below.is_dir():
        shutil.copystat(below, path)


def _white_out(path: Path, rootfs: Path) -> None:
    """Hide a file of the root file system: every host would share that key."""
    if (rootfs / path.relative_to(path.parents[2])).exists():
        subprocess.run(["mknod", str(path), "c", "0", "0"], check=True)


def is_running(spec_process: str) -> bool:
    """Whether anything of this host runs."""
    return bool(processes.members(spec_process))


def is_there(directory: Path, spec: HostSpec) -> bool:
    """Whether nobody deleted what it boots from."""
    return (directory / "hosts" / spec.full_name / "upper").exists()


def power_off(process: str) -> set[int]:
    """Switch off at the wall; pids that would not go."""
    return processes.end_group(process)


def discard(directory: Path, spec: HostSpec, home: Home) -> None:
    """Give the host back: off, its address free, its disk gone."""
    blackhole.keep_counts(directory, spec.space)
    power_off(spec.process)
    network.remove(spec.space, home)
    shutil.rmtree(directory / "hosts" / spec.full_name, ignore_errors=True)
