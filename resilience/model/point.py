"""Point: where a restore ends by the operator's word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Point:
    """Where a restore ends by the operator's word: a position in one epoch's chain, with what is cut off for it."""

    epoch: int
    lsn: str
    at: float
    """When the last write up to there was sent."""
    snapshot: str
    """The label of the snapshot that it begins with."""
    end_epoch: int
    end_lsn: str
    end_at: float
    """Where the newest history ends, which is left for it."""

    @property
    def until(self) -> dict[str, Any]:
        """What a plan says of it: no reading that moves on while the plan is read."""
        return {"epoch": self.epoch, "lsn": self.lsn}
