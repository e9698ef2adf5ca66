"""Stage: how far a site is open. Each stage lets through what the one before it does, and more."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """From closed to everything."""

    CLOSED = "closed"
    READ_ONLY = "read-only"
    WRITES = "writes"
    SIGN_UPS = "sign-ups"

    @property
    def rank(self) -> int:
        """0 is closed; a higher one lets more through."""
        return RANKS[self]

    def covers(self, other: Stage) -> bool:
        """Whether everything that `other` lets through is let through here."""
        return self.rank >= other.rank


RANKS = {stage: rank for rank, stage in enumerate(Stage)}
