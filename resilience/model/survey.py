"""Survey: what we saw and when. Every reading is a value or `Unknown(why)`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from resilience.model.certificate import Certificate
from resilience.model.past import LegalOrder, Past, Withdrawal
from resilience.model.registration import Registration
from resilience.model.site import SiteOutputs
from resilience.model.stage import Stage

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


def newest_first(shown: Mapping[str, EpochRecord]) -> list[EpochRecord]:
    """All epochs of the highest number that vaults (by name) show, first the one that more of its own vaults hold.

    There are several where two promotions ran at once. One that can't have been sealed any more, because too many of
    its vaults hold another one, is left out.
    """
    highest = max((record.number for record in shown.values()), default=0)
    newest = {name: record for name, record in shown.items() if record.number == highest}
    rivals = {record.nonce: record for record in newest.values()}

    def vaults_with(record: EpochRecord, *, other: bool) -> int:
        return sum(1 for n in record.vaults if n in newest and (newest[n].nonce != record.nonce) is other)

    left = [r for r in rivals.values() if vaults_with(r, other=True) <= len(r.vaults) - r.s]
    return sorted(left or rivals.values(), key=lambda record: (-vaults_with(record, other=False), record.nonce))


@dataclass(frozen=True, slots=True)
class VaultReading:
    """One vault as it answered."""

    epoch: Reading[EpochRecord | None]
    snapshot: Reading[str | None]
    """Id of the newest labelled snapshot."""
    ledger: Reading[int]
    """Highest ledger entry held (0: none)."""
    verified: Reading[float | None] = None
    """When it last gave the database back by itself; None: never, as far as this journal knows."""
    compared: bool | None = None
    """Whether its rows were the primary's then; None where nobody compared them."""
    compared_at: float | None = None
    """When its rows were last found to be the primary's; None: never, as far as this journal knows."""
    not_compared: str = ""
    """Why they were not compared then."""
    failed_at: float | None = None
    """When it was last tried and did not give the database back, where that was after `verified`."""
    failed: str = ""
    """What was found then."""
    open: Reading[Mapping[str, str]] = Unknown("nobody tried it")
    """What a probe last found that it should refuse and does not, or that could not be tried: by trial, what was seen."""


@dataclass(frozen=True, slots=True)
class MirrorReading:
    """What a mirror holds: the newest snapshot, and of which vault."""

    of: str
    snapshot: str
    at: float | None
    """When it was last brought up to date; None where another machine did that."""


@dataclass(frozen=True, slots=True)
class SiteReading:
    """One site: what its stack exported, whether it serves by its address, and its ship."""

    outputs: Reading[SiteOutputs | None]
    serving: Reading[bool]
    ship: Reading[Mapping[str, Any]]
    """What ship says of its lag where the site is the primary, and follow where it is a hot standby."""
    stage: Reading[Stage] = Unknown("the site does not serve")
    """How far its gate is open."""
    locked: bool = False
    """What is ours on its disk waits for its key, as after each boot: `resilience up SITE` hands it over."""

    @property
    def behind_s(self) -> float | None:
        """Seconds of writes that would be lost with a primary now, or that a hot standby lacks; None where nobody says."""
        if isinstance(self.ship, Unknown):
            return None
        told = (self.ship.get("at_risk") or {}).get("seconds", self.ship.get("lag_seconds"))
        return float(told) if isinstance(told, int | float) else None


@dataclass(frozen=True, slots=True)
class ZoneReading:
    """The name's addresses as one DNS vendor serves them."""

    addresses: Reading[tuple[str, ...]]
    ttl_s: Reading[int | None] = Unknown("not asked")
    """How long resolvers keep the answer; None where the name is not served there."""
    drift: Reading[tuple[str, ...]] = Unknown("nothing is declared")
    """Where this vendor's zone is not as declared, a line each."""
    serials: Reading[Mapping[str, int]] = Unknown("none of it are declared")
    """Name server → serial of the zone's SOA, as anybody is told who asks it."""


NOTHING_KNOWN = Past()


@dataclass(frozen=True, slots=True)
class Survey:
    """All readings of one moment (`at`: seconds since the Unix epoch)."""

    at: float
    accounts: Mapping[str, Reading[bool]] = field(default_factory=dict)
    """Vendor → its account is open."""
    vaults: Mapping[str, VaultReading] = field(default_factory=dict)
    sites: Mapping[str, SiteReading] = field(default_factory=dict)
    zones: Mapping[str, ZoneReading] = field(default_factory=dict)
    past: Past = NOTHING_KNOWN
    """What journals tell of earlier runs."""
    orders: tuple[LegalOrder, ...] = ()
    """Legal orders that any vault shows, and nobody withdrew."""
    withdrawn: tuple[Withdrawal, ...] = field(default=(), kw_only=True)
    """Orders that were recorded by mistake, as somebody said."""
    orders_unread: frozenset[str] = field(default=frozenset(), kw_only=True)
    """Vaults that may be called and did not list theirs."""
    not_obeyed: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """Reference of an order → what of it nobody can obey, in words; empty where all of it can be."""
    registration: Reading[Registration] = Unknown("no RDAP address is declared")
    """How the domain stands with its registry."""
    certificate: Reading[tuple[Certificate, tuple[str, ...]] | None] = None
    """What the name is served with at a new site, and which vaults hold it; None: nothing travels."""
    mirrors: Mapping[str, Reading[MirrorReading | None]] = field(default_factory=dict)
    """Vaults that only hold copies; None: nothing was copied there yet."""
    settled: str = ""
    """Where vaults show several epochs of the newest number: the nonce of the one that was sealed for good, if any tells."""

    older: tuple[tuple[EpochRecord, int], ...] = ()
    """Epochs before the newest that a new one must fence as well, and in how many of their vaults."""
    left_behind: str = field(default="", kw_only=True)
    """Where it is known that nobody opened the newest epoch, and it names another site: the one that served last."""

    ledgers: Reading[tuple[EpochRecord, ...]] = ()
    """Epochs of which any vault may hold a ledger entry that counts, the newest first."""

    @property
    def epochs(self) -> dict[str, EpochRecord]:
        """The newest epoch that each vault shows, where it shows one."""
        return {name: r.epoch for name, r in self.vaults.items() if isinstance(r.epoch, EpochRecord)}
