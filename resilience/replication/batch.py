"""What ship has in hand: WAL that is not in the spool yet, and what Postgres was last told."""

from __future__ import annotations

from dataclasses import dataclass, field

from resilience.replication import lsn
from resilience.replication.stream import Received, StreamLost


@dataclass
class Batch:
    """WAL received and not yet in the spool."""

    start: int = 0
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    sent_at: float = 0.0

    @property
    def end(self) -> int:
        """Position after the last byte."""
        return self.start + self.size

    def add(self, received: Received) -> None:
        """Keep what arrived; it must join what is there."""
        if self.parts and received.start != self.end:
            raise StreamLost(
                f"Postgres skipped from {lsn.show(self.end)} to {lsn.show(received.start)}",
                "A replication stream is contiguous.",
                "ship connects again from the spool's end.",
            )
        if not self.parts:
            self.start = received.start
        self.parts.append(received.data)
        self.size += len(received.data)
        self.sent_at = received.sent_at

    def clear(self) -> None:
        """It is in the spool."""
        self.parts, self.size = [], 0


@dataclass
class Told:
    """What was last confirmed to Postgres, and when; how far the status file says that each vault is."""

    position: int = -1
    at: float = 0.0
    held: dict[str, int] = field(default_factory=dict)
