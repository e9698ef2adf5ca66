"""Entering the lab: a process moves into a namespace and sees the lab's resolver as the only one."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

from resilience.errors import ResilienceError
from resilience.lab import network, places
from resilience.lab.processes import Home

NEW_MOUNTS = 0x00020000
NEW_NETWORK = 0x40000000
_MS_BIND, _MS_REC, _MS_SLAVE = 4096, 16384, 1 << 19
_NSSWITCH = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
WITH_NAMES = """
set -e
mount --bind "$1/resolv.conf" "$(readlink -f /etc/resolv.conf)"
mount --bind "$1/nsswitch.conf" "$(readlink -f /etc/nsswitch.conf)"
shift
exec "$@"
"""


def write_files(directory: Path) -> None:
    """The resolver's address and the order of name look-ups, for everybody in the lab."""
    write_names(directory / "etc", places.RESOLVER)


def write_names(etc: Path, server: str) -> None:
    """Files for programs that look names up at this server alone."""
    etc.mkdir(parents=True, exist_ok=True)
    (etc / "resolv.conf").write_text(f"nameserver {server}\noptions timeout:2 attempts:3\n")
    (etc / "nsswitch.conf").write_text(_NSSWITCH)


def enter(directory: Path, space: str) -> Home:
    """Move this process in, for good; the way back for the lab's own programs is returned."""
    if threading.active_count() > 1:
        raise ResilienceError(
            "This process cannot enter the lab",
            "It has more than one thread, and only the one that asks would move.",
            "Enter before anything else is started.",
        )
    home = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    with (network.SPACES / space).open() as door:
        _call(libc.setns, door.fileno(), NEW_NETWORK)
    _call(libc.unshare, NEW_MOUNTS)
    _call(libc.mount, b"none", b"/", None, _MS_REC | _MS_SLAVE, None)
    for name in ("resolv.conf", "nsswitch.conf"):
        here, there = directory / "etc" / name, Path("/etc", name).resolve()
        _call(libc.mount, bytes(here), bytes(there), None, _MS_BIND, None)
    return Home(f"/proc/self/fd/{home}")


def as_user(directory: Path, argv: list[str]) -> list[str]:
    """A command that runs where the users are, with their resolver."""
    return ["nsenter", f"--net=/run/netns/{places.USERS_SPACE}", "--", *with_names(directory / "etc", argv)]


def with_names(etc: Path, argv: list[str]) -> list[str]:
    """A command that looks names up as the files in this folder say."""
    return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", WITH_NAMES, "sh", str(etc), *argv]


def _call(function: ctypes._NamedFuncPointer, *args: object) -> None:
    if function(*args) != 0:
        number = ctypes.get_errno()
        raise ResilienceError(
            "This process cannot enter the lab",
            f"{function.__name__}: {os.strerror(number)}.",
            "The lab needs root and network namespaces.",
        )
