"""A lab set aside: its files copied while nothing of it runs, and brought back as often as somebody likes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from resilience.errors import ResilienceError, UsageError
from resilience.lab import host as hosts

ABOUT = "aside.json"
"""Written last: a copy without it is half a copy."""
LEFT_OUT = ("log", "blackhole.json", ".lab")
HOSTS = "hosts"


def set_aside(directory: Path, place: Path, about: dict[str, Any]) -> None:
    """Copy the lab's files, with owners, attributes and holes; `about` says what is in it."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True, mode=0o700)
    for entry in sorted(directory.iterdir()):
        if entry.name not in LEFT_OUT:
            _copy(entry, place / entry.name)
    (place / ABOUT).write_text(json.dumps(about) + "\n")


def about(place: Path) -> dict[str, Any]:
    """What was said of the lab that lies there; UsageError where none does."""
    try:
        said: dict[str, Any] = json.loads((place / ABOUT).read_text())
    except (OSError, ValueError):
        raise UsageError(
            f"No lab is set aside in {place}.",
            f"There is no {ABOUT}, which is written last.",
            "Make one: resilience drill --set-aside DIRECTORY.",
        ) from None
    return said


def bring_back(place: Path, directory: Path) -> None:
    """Copy a lab's files to where they were made; their paths are written in some of them.

    Hosts' layers are not copied: each host gets a new, empty one over that which lies in `place`.
    """
    about(place)
    for entry in sorted(place.iterdir()):
        if entry.name not in {ABOUT, HOSTS}:
            _copy(entry, directory / entry.name)
    for host in sorted((place / HOSTS).iterdir()):
        here = directory / HOSTS / host.name
        here.mkdir(parents=True)
        (here / hosts.BELOW).symlink_to(host / "upper")
        if (host / hosts.DISK).exists():
            _copy(host / hosts.DISK, here / hosts.DISK)
    os.sync()  # gigabytes that are not on the disk yet would be waited for by whatever is synced next


def _copy(source: Path, target: Path) -> None:
    """A file, or a folder with all that is in it."""
    argv = ["cp", "--archive", "--no-target-directory", "--sparse=auto", "--reflink=auto", str(source), str(target)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ResilienceError(
            f"{source} could not be copied to {target}", done.stderr[-500:], "See whether the disk is full; then again."
        )
