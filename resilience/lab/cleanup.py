"""What there is of a lab, found by name whatever happened to its files; and its removal."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from resilience.errors import UsageError
from resilience.lab import buckets, closed, dns, network, places, processes
from resilience.lab.processes import Home

RECORD = Path(f"/run/resilience-lab{places.INSTANCE}.json")
"""Says where the lab is; beside the lock, gone with the lab."""
CLAIM = ".lab"
"""This file in a directory says that a lab made it, and everything in it."""
AT_ONCE = 8
"""Files that are removed side by side."""


def mark(directory: Path, *, whole: bool, keep: bool = False) -> None:
    """Record where the lab is, whether it is whole, and whether it is to stay."""
    fresh = RECORD.with_suffix(".new")
    fresh.write_text(json.dumps({"directory": str(directory), "whole": whole, "keep": keep}))
    fresh.replace(RECORD)


def _record() -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(RECORD.read_text())
    except (OSError, ValueError):
        return {}
    return record


def is_up(directory: Path) -> bool:
    """Whether the lab in this directory was made whole and its namespaces are there."""
    record = _record()
    here = record.get("directory") == str(directory) and bool(record.get("whole", True))
    return here and network.exists(places.OPERATOR_SPACE) and (directory / "fleet.toml").exists()


def kept_lab() -> str | None:
    """Where a lab is that was made to stay."""
    record = _record()
    directory = record.get("directory", "")
    return directory if record.get("keep") and is_up(Path(directory)) else None


def leftovers() -> list[str]:
    """Everything of any lab on this machine, except this process and what is above it."""
    spared = processes.family()
    found = [f"namespace {space}" for space in network.spaces()]
    found += [f"process {pid}" for pid in sorted(_processes() - spared)]
    found += [f"control group {group}" for group in processes.groups() if group.exists()]
    found += [f"mount {point}" for point in _mounts()]
    return found


def _processes() -> set[int]:
    return processes.members() | processes.in_spaces(places.PREFIX) | processes.marked_processes()


def _mounts() -> list[str]:
    """Hosts' disks that are mounted where this process can see them (none should be: each has its own place)."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split(" ")[4] for line in lines if f" - overlay {places.PREFIX}host " in line]


def remove_all(directory: Path, home: Home) -> list[str]:
    """End all processes, remove all namespaces, control groups and files; what would not go."""
    directories = {directory, *([Path(_record()["directory"])] if "directory" in _record() else [])}
    RECORD.unlink(missing_ok=True)
    spared = processes.family()
    processes.end_group()
    processes.end(_processes() - spared)
    processes.end_group()
    for point in _mounts():
        with suppress(Exception):
            processes.run(["umount", "--lazy", point], home=home)
    for space in network.spaces():
        network.remove(space, home)
    for place in directories:
        remove_files(place)
    left = leftovers()
    return left + [f"file {place}" for place in directories if is_claimed(place)]


def is_claimed(directory: Path) -> bool:
    """Whether a lab made this directory."""
    return (directory / CLAIM).exists()


def claim(directory: Path) -> None:
    """Make the lab's directory, or take an empty one; never one with somebody's files in it."""
    if directory.exists() and any(directory.iterdir()):
        raise UsageError(
            f"{directory} cannot hold a lab", "There are other files in it.", "Name a folder that is empty or new."
        )
    directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    (directory / CLAIM).touch()
    mark(directory, whole=False)


def remove_files(directory: Path) -> None:
    """The whole directory, if a lab made it; and the folder above that is only there for it."""
    if is_claimed(directory):
        _unlink_all(directory)
        shutil.rmtree(directory, ignore_errors=True)
    if directory.parent.name == ".resilience":
        with suppress(OSError):
            directory.parent.rmdir()


def _unlink_all(directory: Path) -> None:
    """Every file but the claim, several at once: a disk that is told of free blocks (`discard`) is waited for at each."""
    files = [Path(folder, name) for folder, _, names in os.walk(directory) for name in names]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        list(pool.map(_unlink, (file for file in files if file != directory / CLAIM)))


def _unlink(file: Path) -> None:
    with suppress(OSError):
        file.unlink()


def describe(directory: Path, vendor: places.Place) -> dict[str, Any]:
    """One vendor for people."""
    names = [f"account-{vendor.name}"] if vendor.account else []
    names += buckets.process_names(vendor) if vendor.bucket else []
    names += [dns.process_name(vendor)] if vendor.dns else []
    hosts = network.spaces(f"{places.HOST_SPACE}{vendor.name}-")
    running = {space.removeprefix(places.HOST_SPACE): _host_runs(space) for space in hosts}
    return {
        "network": vendor.network,
        "closed": closed.is_closed(directory, vendor.name),
        "addresses": list(vendor.service_addresses),
        "services": {name: bool(processes.members(name)) for name in names},
        "hosts": running,
    }


def _host_runs(space: str) -> bool:
    return bool(processes.members("host-" + space.removeprefix(places.HOST_SPACE)))
