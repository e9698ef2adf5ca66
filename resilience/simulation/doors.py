"""Doors: every call on a port goes through one, and any of them can be broken at its n-th call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from resilience.errors import ResilienceError

T = TypeVar("T")


class Killed(BaseException):
    """The operator's process ends here, as with `kill -9`: nothing in it may clean up."""


@dataclass(frozen=True, slots=True)
class Break:
    """One call that goes wrong, once."""

    door: str
    call: int
    """Number of the call on that door, from 1."""
    after: bool = False
    """True: the effect took place and only its answer was lost, so the caller can't know."""
    how: Literal["error", "killed", "closed"] = "error"
    """An error; the operator's process dies; or the vendor behind the door closes the account."""


@dataclass
class Doors:
    """Counts the calls on every port, and breaks those that it was told to."""

    breaks: list[Break] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    broken: list[Break] = field(default_factory=list)
    """Breaks that have happened."""

    def through(self, door: str, act: Callable[[], T], close: Callable[[], None] = lambda: None) -> T:
        """One call on this door; raises where it is to break. `close` loses the vendor behind it."""
        self.calls[door] += 1
        here = [b for b in self.breaks if (b.door, b.call) == (door, self.calls[door])]
        if not here:
            return act()
        self.broken.append(here[0])
        if here[0].after:
            act()
        if here[0].how == "killed":
            raise Killed(door)
        if here[0].how == "closed":
            close()
            return act()
        raise ResilienceError(
            f"The door {door} broke at call {self.calls[door]}.",
            "The simulation was told to break it.",
            "Run the same command again.",
        )
