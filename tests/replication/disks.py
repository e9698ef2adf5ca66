"""Small disks, to be filled."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[None]:
    """This folder is a disk of its own, for as long as the block lasts."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all room of the disk that holds this folder, also what was given back since; whoever removes this file gives it back."""
    filling = folder / "filling"
    with filling.open("ab", buffering=0) as file:
        while room := shutil.disk_usage(folder).free:
            with suppress(OSError):  # somebody else took it meanwhile
                file.write(bytes(room))
    return filling
