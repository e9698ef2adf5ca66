"""What a vault's store was seen to do: the ground on which it may count in a quorum, or only hold copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["pass", "warn", "fail", "unknown"]
COUNTING = ("conditional-create", "read-after-write")
"""Without these two a store may hold copies, and never counts in n."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing that was tried, what came of it, and what to do about it."""

    name: str
    outcome: Outcome
    said: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """All trials of one vault."""

    vault: str
    trials: tuple[Trial, ...]
    mirror: bool = False
    """Whether it is declared for copies only, so that nobody asks whether it creates once."""

    @property
    def counts(self) -> bool:
        """Whether the store may count in n: what was tried is known, and was seen to hold."""
        passed = {trial.name for trial in self.trials if trial.outcome == "pass"}
        return not self.mirror and passed.issuperset(COUNTING)

    @property
    def well(self) -> bool:
        """Whether every trial passed that matters where it is used."""
        return all(trial.outcome == "pass" for trial in self.trials if not self.excused(trial))

    def excused(self, trial: Trial) -> bool:
        """Whether this trial may fail: nothing is sealed in a mirror."""
        return self.mirror and trial.name == "conditional-create"
