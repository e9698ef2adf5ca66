"""Past: what earlier journals tell a new plan. Orders: what an authority ordered, and who signed off on going on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PastRun:
    """A plan that was carried out to its end: how long each phase took, and what a drill found lost afterwards."""

    kind: str
    target: str
    took: Mapping[str, float] = field(default_factory=dict)
    """Phase → seconds."""
    lost_s: float | None = None
    lost_writes: int | None = None
    lost_objects: int | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What is known from journals: runs to their end, and snapshots that somebody else read back."""

    runs: tuple[PastRun, ...] = ()
    verified: frozenset[tuple[str, str]] = frozenset()
    """(vault, snapshot id)."""
    followed: frozenset[str] = frozenset()
    """Sites that were made standbys, and nothing else since."""
    sealed: int = 0
    """Number of the newest epoch that was sealed from here; 0: none was."""
    lapses: Mapping[str, float] = field(default_factory=dict)
    """Site → seconds after a seal for which it may still write, by what it was last told from here; none that stopped since."""


@dataclass(frozen=True, slots=True)
class LegalOrder:
    """A binding order by an authority; its record lies in the vaults, signed by the operator."""

    reference: str
    authority: str
    issued: str
    """The order's own date, YYYY-MM-DD."""
    vendor: str
    """The vendor it was served on; empty where it was served on us."""
    down: tuple[str, ...] = ()
    """Posts that were ordered down, by their ids: no site is opened while one of them can be read."""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Somebody says that an order was recorded by mistake: exactly this one, and for good."""

    order: LegalOrder
    who: str
    at: str
    """In UTC, 2026-11-25T12:00:00Z."""
    why: str


@dataclass(frozen=True, slots=True)
class SignOff:
    """Somebody with the standing to do so says that this failover is in line with an order."""

    who: str
    reference: str
    date: str
