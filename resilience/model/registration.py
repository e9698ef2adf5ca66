"""Registration: what the registry says of the name's domain, read by RDAP."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Registration:
    """One domain as its registry shows it."""

    domain: str
    statuses: tuple[str, ...]
    """In RDAP's words (RFC 8056): `client hold`, `server transfer prohibited` and so on."""
    expires_at: float | None
    """Seconds since the Unix epoch; None where the registry does not tell."""
    nameservers: tuple[str, ...]
