"""Tenure: how long this host may go on writing, noted where a ship that is started again and the guard find it.

Times are of CLOCK_BOOTTIME, which nobody sets; a note of another boot, or of another epoch, says nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from resilience.replication.config import Config

NAME = "lease.json"
BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Tenure:
    """What a lease rests on."""

    nonce: str
    boot: str
    clean: Mapping[str, float]
    """By vault: when it was last asked and showed no newer epoch."""
    grace: float
    """Until then the first ship of this boot and epoch may ask for the first time."""
    until: float
    """When the lease ends, unless the note is renewed."""


def read(path: Path, nonce: str) -> Tenure | None:
    """The note, when it is of this boot and epoch."""
    found = _of_this_boot(path)
    return found if found is not None and found.nonce == nonce else None


def _of_this_boot(path: Path) -> Tenure | None:
    try:
        found = Tenure(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.boot == boot() else None


def write(path: Path, tenure: Tenure) -> None:
    """Replace the note at once. It need not outlive the machine, so it is not fsynced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}.new")
    new.write_text(json.dumps(asdict(tenure)))
    new.replace(path)


def begin(path: Path, nonce: str, vaults: Iterable[str], now: float, seconds: float) -> Tenure:
    """The note that is there, or the first one: a ship that is started again is given no second chance to ask.

    Nor is a host that went on under this epoch from another: where that one's lease still runs, no more than that is left.
    """
    found = _of_this_boot(path)
    if found is None or found.nonce != nonce:
        running = [] if found is None or found.until <= now else [found.until]
        until = min([now + seconds, *running])
        found = Tenure(nonce, boot(), dict.fromkeys(vaults, 0.0), until, until)
        write(path, found)
    return found


def place(config: Config) -> Path:
    """Where the note lies on this host."""
    return config.paths.run / NAME


def boot() -> str:
    """Which boot of the machine this is."""
    return BOOT.read_text().strip()


def left(config: Config, now: float) -> float | None:
    """Seconds until this host must stop writing; None where no lease is at work."""
    found = read(place(config), config.record.nonce)
    return None if found is None else found.until - now
