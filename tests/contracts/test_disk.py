"""What is ours on a host's disk, on a real ext4: opened by one key, locked after each boot, refused where it lies in clear."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from resilience.host import shape
from resilience.host.shape import NotShaped, is_locked, open_disk
from tests.plain_host import make_disk

KEY, OTHER = bytes(range(64)), bytes(64)
SECRET = "PLAINLY-WRITTEN-ON-A-DISK"


@dataclass
class Done:
    """What a command left."""

    exit: int
    out: str
    err: str


@dataclass
class Machine:
    """A shell in a mount namespace of its own, where a disk can be mounted and gone again like at a boot."""

    process: subprocess.Popen[bytes]
    disk: Path
    at: Path

    def run(self, command: str, *, stdin: bytes | None = None, timeout: float = 60) -> Done:
        """One command line."""
        inside = ["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", "sh", "-c", command]
        done = subprocess.run(inside, input=stdin or b"", capture_output=True, timeout=timeout, check=False)
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def check(self, command: str) -> str:
        """One command line that must end well."""
        done = self.run(command)
        assert done.exit == 0, done.err
        return done.out

    def boot(self) -> None:
        """The disk is gone and comes back, and with it no key."""
        self.run(f"umount {self.at}")
        self.check(f"mount -o loop {self.disk} {self.at}")


@contextmanager
def machine(folder: Path, *options: str) -> Iterator[Machine]:
    """A machine with a fresh disk."""
    at, disk = folder / "at", folder / "disk"
    at.mkdir()
    make_disk(disk, *options)
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec cat"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    found = Machine(process, disk, at)
    try:
        found.boot()
        yield found
    finally:
        with suppress(BrokenPipeError):
            process.communicate()


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders, on the disk of the test."""
    monkeypatch.setattr(shape, "ETC", str(tmp_path / "at/etc"))
    monkeypatch.setattr(shape, "DATA", str(tmp_path / "at/data"))
    return tmp_path / "at/data"


def test_a_disk_tells_nothing_until_its_key_comes_again(tmp_path: Path, ours: Path) -> None:
    """Written through the key; in no block of the disk; after a boot neither read nor written; the key brings all back."""
    with machine(tmp_path, "-O", "^encrypt") as host:
        assert open_disk(host, KEY)["made"] == [shape.ETC, shape.DATA], "the file system was told that it may encrypt"
        host.check(f"mkdir {ours}/pg && echo {SECRET} > {ours}/pg/{SECRET} && echo in-clear > {host.at}/open && sync")
        host.boot()
        disk = host.disk.read_bytes()
        assert SECRET.encode() not in disk
        assert b"in-clear" in disk
        assert is_locked(host)
        assert SECRET not in host.check(f"find {ours}")
        assert host.run(f"touch {ours}/new").exit != 0
        assert host.run(f"cat $(find {ours} -type f)").exit != 0
        assert open_disk(host, KEY)["made"] == []
        assert not is_locked(host)
        assert host.check(f"cat {ours}/pg/{SECRET}").strip() == SECRET


def test_another_key_opens_nothing(tmp_path: Path, ours: Path) -> None:
    """It is refused in words, and the folders stay locked."""
    with machine(tmp_path) as host:
        open_disk(host, KEY)
        host.check(f"mkdir {ours}/pg")
        host.boot()
        with pytest.raises(NotShaped, match="another key opens it"):
            open_disk(host, OTHER)
        assert is_locked(host)


def test_what_lies_in_clear_is_not_called_encrypted(tmp_path: Path, ours: Path) -> None:
    """Files that are there already, and a file system that can't: each is refused, and nothing of it is touched."""
    with machine(tmp_path) as host:
        host.check(f"mkdir -p {ours}/pg && echo kept > {ours}/pg/file")
        with pytest.raises(NotShaped, match="files in clear"):
            open_disk(host, KEY)
        assert host.check(f"cat {ours}/pg/file").strip() == "kept"
        host.check(f"mount -t tmpfs none {host.at}")
        with pytest.raises(NotShaped, match="on tmpfs, and only ext4"):
            open_disk(host, KEY)
