"""What an evacuation still has to copy, in which order, and whether it is done before the deadline. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ORDER = ("database", "ledger", "keys", "recent media", "old media")
"""What goes first: without the first three there is nothing to come back to."""


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of data: how much there is, and how much no vault elsewhere holds yet."""

    what: str
    bytes: int
    left: int
    done_at: float | None
    """When it will have arrived, at the measured rate; None where no rate is known."""


@dataclass(frozen=True, slots=True)
class Evacuation:
    """All loads in order, and the moment the last one arrives."""

    loads: tuple[Load, ...]
    rate: float | None
    """Bytes a second that a vault gave to the machine which measured it."""
    deadline_at: float
    measured_at: str = ""
    """The vault that gave it."""

    @property
    def done_at(self) -> float | None:
        """When everything has arrived."""
        return self.loads[-1].done_at

    @property
    def margin_s(self) -> float | None:
        """Seconds between that and the deadline; negative: too late."""
        return None if self.done_at is None else self.deadline_at - self.done_at


def evacuation(
    sizes: Mapping[str, int],
    left: Mapping[str, int],
    rate: float | None,
    now: float,
    deadline_at: float,
    measured_at: str = "",
) -> Evacuation:
    """Loads in their order; each begins when the one before has arrived."""
    loads: list[Load] = []
    total = 0
    for what in ORDER:
        total += left.get(what, 0)
        done_at = now if not total else None if not rate else now + total / rate
        loads.append(Load(what, sizes.get(what, 0), left.get(what, 0), done_at))
    return Evacuation(tuple(loads), rate, deadline_at, measured_at)
