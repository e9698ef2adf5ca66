"""Certificate: what lets users trust that they reach the public name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as it travels in the vaults, beside its key, which is sealed."""

    host: str
    issuer: str
    """Who issued it, as it says itself."""
    not_after: float
    """Seconds since the Unix epoch."""
    fingerprint: str
    """SHA-256 of the certificate, hex."""

    @property
    def until(self) -> str:
        """The day on which it ends."""
        return datetime.fromtimestamp(self.not_after, UTC).date().isoformat()
