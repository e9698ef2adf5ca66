"""Survey: what we saw and when. Every reading is a value or `Unknown(why)`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from resilience.model.site import SiteOutputs

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unknown:
    """A reading that could not be had; never the same as 'no'."""

    why: str


Reading: TypeAlias = T | Unknown


def known(reading: Reading[T]) -> T | None:
    """The value, or None where it is unknown: only for places where both mean the same."""
    return None if isinstance(reading, Unknown) else reading


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """Who may write: a number sealed in the vaults, naming one site and its vault set."""

    number: int
    site: str
    nonce: str
    parent: int
    vaults: tuple[str, ...]
    k: int
    s: int
    sealed_at: float
    signer: str
    """Ed25519 public key (hex) with which this site's host signs labels."""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class VaultReading:
    """One vault as it answered."""

    epoch: Reading[EpochRecord | None]
    snapshot: Reading[str | None]
    """Id of the newest labelled snapshot."""
    ledger: Reading[int]
    """Highest ledger entry held (0: none)."""


@dataclass(frozen=True, slots=True)
class SiteReading:
    """One site: what its stack exported, whether it serves by its address, and its ship."""

    outputs: Reading[SiteOutputs | None]
    serving: Reading[bool]
    ship: Reading[Mapping[str, Any]]
    """What ship says of its lag, where the site is the primary."""


@dataclass(frozen=True, slots=True)
class ZoneReading:
    """The name's addresses as one DNS vendor serves them."""

    addresses: Reading[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Survey:
    """All readings of one moment (`at`: seconds since the Unix epoch)."""

    at: float
    accounts: Mapping[str, Reading[bool]] = field(default_factory=dict)
    """Vendor → its account is open."""
    vaults: Mapping[str, VaultReading] = field(default_factory=dict)
    sites: Mapping[str, SiteReading] = field(default_factory=dict)
    zones: Mapping[str, ZoneReading] = field(default_factory=dict)
