"""Folders that the app's user owns, as root touches them: no link is followed, no pipe waited for, nothing outside changed.

Whoever owns a folder may put a link, a pipe or a folder under any name there, and swap it at any moment. So root opens each
folder once, acts on what it opened, and makes its own files anew.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resilience.errors import ResilienceError

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
LARGEST = 64 << 20
"""Bytes of a file that root reads there: four of the largest pictures that plaza takes."""
MISPLACED = {errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOTEMPTY}
"""What only somebody else's doing in the same folder answers with."""

REFUSED = {errno.ELOOP, errno.EAGAIN, errno.ENXIO}
"""What opening a link, a file that somebody holds a lease on, and a socket answer with."""
APP = "The app's user"
TOO_LARGE = f"more than {LARGEST >> 20} MiB"
KINDS = {stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe", stat.S_IFDIR: "a folder", stat.S_IFSOCK: "a socket"}


class Misplaced(ResilienceError):
    """Something lies there that no app of ours puts there."""

    def __init__(self, path: Path, seen: str, whose: str = APP) -> None:
        self.seen = seen
        super().__init__(
            f"{str(path)!a} can't be used.",
            f"{whose} owns that folder, and put something else there: {seen}.",
            "Look at what runs on that host; remove what is there, and run the same command again.",
        )


@contextmanager
def opened(top: Path, *below: str) -> Iterator[int]:
    """A folder whose parent is root's, or one below it; OSError where something else has its name."""
    _refuse_path(top.joinpath(*below), below)
    held = [os.open(top, FOLDER)]
    try:
        for name in below:
            held.append(os.open(name, FOLDER, dir_fd=held[-1]))
        yield held[-1]
    finally:
        for fd in held:
            os.close(fd)


def is_file(path: Path) -> bool:
    """Whether a file has this name, and no link to one, pipe or folder."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


@contextmanager
def looked_at(folder: int, name: str) -> Iterator[int]:
    """A file of whoever owns the folder, to be linked and not read; Misplaced where anything else has the name."""
    found = os.open(name, LOOK, dir_fd=folder)
    try:
        _refuse(Path(name), os.fstat(found), os.fstat(folder).st_uid)
        yield found
    finally:
        os.close(found)


def link(found: int, target: Path) -> None:
    """Link the very file that was looked at, whatever has its name by now."""
    try:
        os.link(f"/proc/self/fd/{found}", target, src_dir_fd=found)  # with a folder given it follows, as it must here
    except OSError as error:
        if error.errno == errno.EMLINK:
            raise Misplaced(target, os.strerror(error.errno)) from error
        raise


def read(path: Path) -> bytes:
    """What is in a file that came from there; Misplaced where it is none, or larger than any of the app's."""
    try:
        handle = os.open(path, READ)
    except OSError as error:
        if error.errno in REFUSED:
            raise Misplaced(path, os.strerror(error.errno)) from error
        raise
    with os.fdopen(handle, "rb") as file:
        _refuse(path, os.fstat(handle), None)
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise Misplaced(path, TOO_LARGE)
    return data


def refuse_other(path: Path, found: os.stat_result, owner: int | None, whose: str = APP) -> None:
    """Misplaced where this is no file, or not the one's who should own it."""
    if not stat.S_ISREG(found.st_mode):
        raise Misplaced(path, KINDS.get(stat.S_IFMT(found.st_mode), "no file"), whose)
    if owner is not None and found.st_uid != owner:
        raise Misplaced(path, "somebody else's file", whose)


def _refuse(path: Path, found: os.stat_result, owner: int | None) -> None:
    refuse_other(path, found, owner)
    if found.st_size > LARGEST:
        raise Misplaced(path, TOO_LARGE)


def _below(top: Path, path: Path) -> tuple[str, ...]:
    """The names that lead from `top` to a file in it; Misplaced where none do."""
    parts = path.relative_to(top).parts if path.is_relative_to(top) else ()
    _refuse_path(path, parts or (str(path),))
    return parts


def _refuse_path(path: Path, names: Iterable[str]) -> None:
    if any(name in ("", ".", "..") or "/" in name for name in names):
        raise Misplaced(path, "a name that leads elsewhere")


def keep(top: Path, path: Path, data: bytes) -> None:
    """Write a file at once, into `top` or a folder of it, and give it, with that folder, to whoever owns `top`."""
    *below, name = _below(top, path)
    with _tell(path), opened(top) as above:
        who = os.fstat(above)
        if not below:
            _write(above, name, data, who)
            return
        folder = _folder(above, below[0], who)
        try:
            _write(folder, name, data, who)
        finally:
            os.close(folder)


def _folder(above: int, name: str, who: os.stat_result) -> int:
    with suppress(FileNotFoundError):
        return os.open(name, FOLDER, dir_fd=above)
    with suppress(FileExistsError):
        os.mkdir(name, 0o2770, dir_fd=above)
    made = os.open(name, FOLDER, dir_fd=above)
    give(made, who)
    return made


def give(fd: int, who: os.stat_result) -> None:
    """Give a folder that this process made to whoever owns the one above; one that is not ours stays whose it is."""
    if os.fstat(fd).st_uid == os.geteuid():
        os.fchown(fd, who.st_uid, who.st_gid)


def _write(folder: int, name: str, data: bytes, who: os.stat_result) -> None:
    aside = f".{name}.new"
    with os.fdopen(new(folder, aside), "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), 0o640)
        os.fchown(file.fileno(), who.st_uid, who.st_gid)
    os.rename(aside, name, src_dir_fd=folder, dst_dir_fd=folder)


def new(folder: int, name: str) -> int:
    """A file that this process made, in place of what a killed one, or somebody else, left."""
    try:
        return os.open(name, NEW, 0o600, dir_fd=folder)
    except FileExistsError:
        os.unlink(name, dir_fd=folder)
        return os.open(name, NEW, 0o600, dir_fd=folder)


def remove(top: Path, path: Path) -> None:
    """Remove a file, if it is there."""
    *below, name = _below(top, path)
    with _tell(path), suppress(FileNotFoundError), opened(top, *below) as folder:
        os.unlink(name, dir_fd=folder)


@contextmanager
def _tell(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in MISPLACED:
            raise Misplaced(path, os.strerror(error.errno)) from error
        raise
