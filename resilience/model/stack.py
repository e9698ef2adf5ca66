"""What is known of each stack before it runs: how far it was tried, and what our sizes mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

Level = Literal["mock-checked", "emulated", "live"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """How far a stack was tried: against mocks, an emulator, or for real; and on which day."""

    level: Level
    on: date

    def __str__(self) -> str:
        return f"{self.level} ({self.on.isoformat()})"


STACKS: Mapping[str, Evidence] = {
    "lab": Evidence("live", date(2026, 11, 25)),
    "local": Evidence("live", date(2026, 11, 25)),
    "baremetal": Evidence("live", date(2026, 11, 25)),
    "aws": Evidence("emulated", date(2026, 11, 26)),
    "gcp": Evidence("mock-checked", date(2026, 11, 25)),
    "hetzner": Evidence("mock-checked", date(2026, 11, 25)),
    "openstack": Evidence("mock-checked", date(2026, 11, 25)),
}
"""Every stack a fleet may name. `scripts/live` says what to write into the fleet file once one ran for real."""
CLOUDS = frozenset({"aws", "gcp", "hetzner", "openstack"})
"""Stacks that make hosts at a vendor over the internet."""
ENCRYPTED = frozenset({"aws", "gcp"})
"""Stacks whose hosts' disks are always encrypted, with keys that the vendor holds."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a host has at least; each stack maps it to its vendor's own types."""

    cpu: int
    memory_gb: int
    disk_gb: int


SIZES: Mapping[str, Machine] = {
    "small": Machine(2, 4, 40),
    "medium": Machine(4, 8, 80),
    "large": Machine(8, 16, 160),
}
