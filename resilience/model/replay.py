"""What a restore would replay now, and how long that took the last time somebody tried."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Replay:
    """WAL since the newest snapshot, beside what the last verified restore took."""

    wal_bytes: int
    """Written since the newest snapshot that any vault holds."""
    rate: float | None = None
    """Bytes a second that were replayed then; None where nothing tells."""
    files_s: float = 0.0
    """Seconds that everything before the replay took then."""
    followed: bool = False
    """Whether a hot standby has replayed it already."""

    @property
    def takes_s(self) -> float | None:
        """Seconds that replaying it would take at that rate."""
        return None if self.rate is None else self.wal_bytes / self.rate
