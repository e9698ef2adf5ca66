"""What the simulated vendors, hosts and users remember."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from resilience.errors import ResilienceError, VendorClosed
from resilience.model import Event, SiteOutputs

T = TypeVar("T")


@dataclass
class Doors:
    """Counts the calls on every port, and breaks the one that it was told to."""

    break_at: dict[str, int] = field(default_factory=dict)
    """Door → the number of the call (from 1) that fails, once."""
    calls: Counter[str] = field(default_factory=Counter)

    def through(self, door: str) -> None:
        """One call on this door; raises where it is to break."""
        self.calls[door] += 1
        if self.break_at.get(door) == self.calls[door]:
            raise ResilienceError(
                f"The door {door} broke at call {self.calls[door]}.",
                "The simulation was told to break it.",
                "Run the same command again.",
            )


@dataclass
class Host:
    """One simulated host."""

    alive: bool = True
    shaped: bool = False
    rows: dict[str, float] = field(default_factory=dict)
    """Write → when it was acknowledged."""
    pictures: set[str] = field(default_factory=set)
    ledger: list[str] = field(default_factory=list)
    promoted_under: str = ""
    """Nonce of the epoch under which it may write."""
    restored_under: str = ""
    shipping: bool = False
    serving: bool = False


@dataclass
class State:
    """All of the simulated outside."""

    now: float = 1_700_000_000.0
    doors: Doors = field(default_factory=Doors)
    dead: set[str] = field(default_factory=set)
    hosts: dict[str, Host] = field(default_factory=dict)
    """By site."""
    outputs: dict[str, SiteOutputs] = field(default_factory=dict)
    objects: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """By vault."""
    copies: dict[str, dict[str, float]] = field(default_factory=dict)
    """By vault: rows that its chain holds."""
    zones: dict[str, tuple[str, ...]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    called_dead: list[dict[str, Any]] = field(default_factory=list)

    def pass_time(self, seconds: float) -> None:
        """Let the simulation's clock go on."""
        self.now += seconds

    def ask(self, door: str, vendor: str, seconds: float, act: Callable[[], T]) -> T:
        """One call on a door of a vendor: counted, timed, refused when the vendor is dead."""
        self.doors.through(door)
        self.pass_time(seconds)
        if vendor in self.dead:
            self.called_dead.append({"from": "operator", "vendor": vendor, "address": door, "port": 0, "packets": 1})
            raise VendorClosed(vendor, "Blocked")
        return act()
