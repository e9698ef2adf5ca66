"""Files that are there or not there, never half: written aside, synced, then linked into place."""

from __future__ import annotations

import errno
import os
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path


def publish(path: Path, data: bytes, *, sync: bool = True) -> bool:
    """Write a new file durably. False: there already is one, which stays untouched."""
    make_directory(path.parent)
    aside = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    try:
        _write(aside, data, sync=sync)
        os.link(aside, path)
    except FileExistsError:
        return False
    finally:
        aside.unlink(missing_ok=True)
    if sync:
        sync_directory(path.parent)
    return True


def replace(directory: str, name: str, data: bytes) -> None:
    """Write a file in place of what has its name, if anything has; quick, for many: the caller syncs, and nobody else writes it."""
    aside = f"{directory}/.{name}.new"
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    except FileNotFoundError:
        Path(directory).mkdir(exist_ok=True)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        os.write(handle, data)
    finally:
        os.close(handle)
    os.replace(aside, f"{directory}/{name}")  # noqa: PTH105 - a path each would take as long as all else here


def sync_all(directory: Path) -> None:
    """Make whatever was written on this file system durable, at once."""
    subprocess.run(["sync", "--file-system", str(directory)], check=True)


def hand_over(source: Path, outbox: Path, *, sync: bool = True) -> None:
    """Hard-link a finished file to where the shipper looks; again is no error.

    A copy does where a link can't be: another file system, or a file that somebody else restored.
    """
    make_directory(outbox.parent)
    if _link(source, outbox, sync=sync) and sync:
        sync_directory(outbox.parent)


def hand_over_all(sources: Sequence[Path], outbox: Path) -> None:
    """The same for many of one kind, each by its own name: durable when this returns, by one sync."""
    if not sources:
        return
    make_directory(outbox)
    for source in sources:
        _link(source, outbox / source.name, sync=True)
    sync_directory(outbox)  # also where an earlier run linked them, and was killed before it could


def _link(source: Path, outbox: Path, *, sync: bool) -> bool:
    """Link it, or copy it, which `sync` is for; False where it is there already."""
    try:
        os.link(source, outbox)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        publish(outbox, source.read_bytes(), sync=sync)
    return True


def make_directory(path: Path) -> None:
    """Make a directory and its parents, and make their names durable."""
    if path.is_dir():
        return
    make_directory(path.parent)
    path.mkdir(exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: Path, data: bytes, *, sync: bool) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())
