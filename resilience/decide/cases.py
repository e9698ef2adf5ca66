"""Which drills make a full round: every fault at the primary's vendor, each vendor in turn, each pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from resilience.model import Fleet

AT_HOME = ("terminate", "delete", "control-plane", "hijack", "bit-rot")
"""Faults that happen to the primary's own vendor; `correlated` is what a pair is."""


@dataclass(frozen=True, slots=True)
class Case:
    """One drill of a round: which fault hits which vendors."""

    fault: str
    lost: tuple[str, ...]

    @property
    def name(self) -> str:
        """What its report is called: `terminate-acorn`, `correlated-acorn-elm`."""
        return "-".join((self.fault, *self.lost))


def full_round(fleet: Fleet) -> tuple[Case, ...]:
    """All drills of a round, in an order that never changes."""
    return tuple(_cases(fleet))


def _cases(fleet: Fleet) -> Iterator[Case]:
    home = fleet.primary.vendor
    vendors = [vendor.name for vendor in fleet.vendors]
    yield from (Case(fault, (home,)) for fault in AT_HOME)
    yield from (Case("terminate", (name,)) for name in vendors if name != home)
    yield from (Case("correlated", pair) for pair in combinations(vendors, 2))
