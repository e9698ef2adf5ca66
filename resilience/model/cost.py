"""What a fleet costs: lines with their sources, a total a currency, and what the totals leave out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Usage:
    """How much a fleet holds and writes."""

    stored_gb: float
    """What each vault holds: database snapshots, WAL and media."""
    busy: float
    """Share of the time (0 to 1) in which there is something to ship."""


@dataclass(frozen=True, slots=True)
class StoragePrice:
    """What one object store asks."""

    endpoint: str
    """Its host, as a pattern (`*.example.net`)."""
    currency: str
    gb_month: float
    puts_1000: float
    gets_1000: float
    egress_gb: float
    note: str
    source: str
    day: date
    base_month: float = 0.0
    up_to_gb: float | None = None
    """More than this has no price here."""


@dataclass(frozen=True, slots=True)
class HostPrice:
    """What one kind of host asks a month."""

    stack: str
    type: str
    cpu: int
    memory_gb: int
    currency: str
    month: float
    note: str
    source: str
    day: date


@dataclass(frozen=True, slots=True)
class Prices:
    """The price table."""

    storage: tuple[StoragePrice, ...]
    hosts: tuple[HostPrice, ...]


@dataclass(frozen=True, slots=True)
class CostLine:
    """One thing that costs, with where its price is from; None where no price is known."""

    what: str
    amount: float | None
    currency: str = ""
    source: str = ""
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """A month idle, and one evacuation."""

    month: tuple[CostLine, ...]
    evacuation: tuple[CostLine, ...]


def totals(lines: tuple[CostLine, ...]) -> Mapping[str, float]:
    """The sum a currency of what has a price."""
    found: dict[str, float] = {}
    for line in lines:
        if line.amount is not None:
            found[line.currency] = round(found.get(line.currency, 0.0) + line.amount, 2)
    return found


def left_out(lines: tuple[CostLine, ...]) -> tuple[str, ...]:
    """What has no price, and so is in no total."""
    return tuple(line.what for line in lines if line.amount is None)
