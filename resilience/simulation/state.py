"""What the simulated vendors, hosts and users remember."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.errors import VendorClosed
from resilience.model import EpochRecord, Event, SiteOutputs, Stage
from resilience.replication import chunk, layout, seals
from resilience.replication import epoch as epochs
from resilience.simulation.doors import Doors

T = TypeVar("T")
BEGIN = 1_700_000_000.0
TICK_MS = 250
"""How often things that go on by themselves go on."""
Rows = dict[str, float]
"""Write → when the app took it."""


@dataclass
class Host:
    """One simulated host: a database, pictures, the ledger, the app, and ship."""

    number: int = 0
    """Another machine at the same address has another number."""
    alive: bool = True
    shaped: bool = False
    told: EpochRecord | None = None
    """The epoch that its files name: nothing of that one is set aside."""
    rows: Rows = field(default_factory=dict)
    wal: list[str] = field(default_factory=list)
    """Writes under the present epoch, in order."""
    pictures: set[str] = field(default_factory=set)
    ledger: dict[int, str] = field(default_factory=dict)
    """Entries by their number, wherever they are from: what a row takes down."""
    hidden: set[str] = field(default_factory=set)
    """Rows that the app does not show, because the ledger says so."""
    follows: bool = False
    """A hot standby: it reads the vaults all the time, and may be read."""
    followed: int = 0
    """The epoch that it was told of when it began to follow."""
    restored_under: str = ""
    opens: EpochRecord | None = None
    """The epoch under which its copy was restored."""
    promoted_under: str = ""
    """Nonce of the epoch under which the database was opened."""
    serving: bool = False
    stage: Stage = Stage.CLOSED
    """How far its proxy is open."""
    opened_under: str = ""
    """Nonce of the epoch under which its gate was begun."""
    ships: EpochRecord | None = None
    put: dict[str, int] = field(default_factory=dict)
    """By vault: how much of `wal` it holds."""
    pictured: dict[str, int] = field(default_factory=dict)
    """By vault: of how much of `wal` it holds the pictures."""
    again: dict[str, set[str]] = field(default_factory=dict)
    """By vault: pictures that the app handed over once more."""
    verified: dict[str, float] = field(default_factory=dict)
    """By vault: when it gave the database back, as the operator told."""
    snapshot_at: float | None = None
    """When the last snapshot was taken that this host took itself, or was told of."""
    confirmed: int = 0
    lease_until: int = 0
    lease_ms: int = 0
    """0: commits wait for the vaults, so there is no lease to run out."""
    fenced: bool = False
    """ship stopped the database for good."""
    cut_off: set[str] = field(default_factory=set)
    """Vaults that this host can't reach."""
    slow: set[str] = field(default_factory=set)
    """Vaults that take its WAL and, for now, no picture."""
    walked_under: str = ""
    """Nonce under which a user's journey by address got through here."""


@dataclass
class Chain:
    """What one vault holds of one epoch."""

    opening: Rows | None = None
    """Everything up to where the epoch before ended; None where there is no opening record."""
    rows: Rows = field(default_factory=dict)
    shipped_by: int = 0
    """Number of the host that ships here; 0 before it began."""


@dataclass
class Held:
    """One vault."""

    vendor: str
    objects: dict[str, bytes] = field(default_factory=dict)
    chains: dict[int, Chain] = field(default_factory=dict)
    pictures: set[str] = field(default_factory=set)
    snapshots: dict[str, Rows] = field(default_factory=dict)
    rotten: int = 0
    """Up to this epoch its chunks fail their checks: what it lacks is not proven absent."""

    def chain(self, epoch: int) -> Chain:
        """What is held of this epoch."""
        return self.chains.setdefault(epoch, Chain())

    def take(self, other: Held) -> None:
        """Whatever another vault holds of WAL and pictures."""
        for epoch, theirs in other.chains.items():
            mine = self.chain(epoch)
            mine.opening = dict(theirs.opening) if mine.opening is None and theirs.opening is not None else mine.opening
            mine.rows |= theirs.rows
            mine.shipped_by = mine.shipped_by or theirs.shipped_by
        self.pictures |= other.pictures

    def newer(self, record: EpochRecord) -> EpochRecord | None:
        """The epoch after this one, where it lies here: what ship looks for."""
        data = self.objects.get(layout.epoch(record.number + 1))
        return None if data is None else epochs.decode(data, lambda _payload, _signature: True)

    def shows_newer(self, record: EpochRecord) -> bool:
        """Whether an epoch after this one lies here that does not only change its vault set."""
        newer = self.newer(record)
        return newer is not None and (not epochs.continues(newer, record) or self.shows_newer(newer))

    def open(self, epoch: EpochRecord, rows: Rows, key: int) -> None:
        """The epoch begins with these rows; the record of it is signed with the site's key of epoch `key`."""
        self.chain(epoch.number).opening = dict(rows)
        opening = chunk.Opening(epoch.number, epoch.nonce, epoch.parent, len(rows), len(rows), epoch.number, "1", 0.0)
        signed = chunk.encode_opening(opening, seals.signer(site_private(epoch.site, key)))
        self.objects.setdefault(layout.opening(epoch.number), signed)


@dataclass
class State:
    """All of the simulated outside. Calls come one at a time, whatever thread they are from."""

    ms: int = 0
    carried: dict[tuple[str, int], int] = field(default_factory=dict)
    """Epochs that only changed a site's vault set, and the epoch whose key they have."""
    pace: float = 1.0
    """How long calls take, against a cold failover; 0 is the quickest standby there could be."""
    doors: Doors = field(default_factory=Doors)
    dead: set[str] = field(default_factory=set)
    """Vendors that closed the account."""
    hosts: dict[str, Host] = field(default_factory=dict)
    """By site."""
    machines: int = 0
    """How many hosts were ever made."""
    moderators: int = 0
    """How many accounts moderate: a row that reached every copy."""
    outputs: dict[str, SiteOutputs] = field(default_factory=dict)
    vaults: dict[str, Held] = field(default_factory=dict)
    zones: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ttls: dict[str, int] = field(default_factory=dict)
    delegated: tuple[str, ...] = ()
    """Name servers that the parent zone names."""
    cached: tuple[int, tuple[str, ...]] = (0, ())
    """Until when the users' resolver answers from its cache, and what."""
    acknowledged: dict[str, str] = field(default_factory=dict)
    """Write → nonce of the epoch under which it was acknowledged, in order."""
    confirmed: set[str] = field(default_factory=set)
    """Rows of which ship knew that k vaults held them, and saw no newer epoch after."""
    taken_down: set[str] = field(default_factory=set)
    notices: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """Posts that a letter names, by its vendor and reference; rows like all others, so they come along."""
    events: list[Event] = field(default_factory=list)
    called_dead: list[dict[str, Any]] = field(default_factory=list)
    goes_on: list[Callable[[], None]] = field(default_factory=list)
    """What happens by itself while time passes: ships first, then users."""
    watchers: list[Callable[[str], None]] = field(default_factory=list)
    """Told of every door after a call on it: for tests."""
    lock: RLock = field(default_factory=RLock, repr=False)

    @property
    def now(self) -> float:
        """Seconds since the Unix epoch."""
        return BEGIN + self.ms / 1000

    def cut_off(self, kept: set[str]) -> None:
        """By the operator's word, what is not kept was never promised to anybody."""
        self.confirmed &= kept

    def pass_time(self, seconds: float) -> None:
        """Let the simulation's clock go on, and all that goes on with it."""
        with self.lock:
            until = self.ms + round(seconds * 1000)
            while self.ms < until:
                self.ms = min(until, self.ms + TICK_MS)
                for go_on in self.goes_on:
                    go_on()

    def ask(self, door: str, vendor: str | None, seconds: float, act: Callable[[], T]) -> T:
        """One call on a door: counted, timed, and refused when the vendor behind it is dead."""

        def answer() -> T:
            if vendor in self.dead:
                self.note_call(door, str(vendor))
                raise VendorClosed(str(vendor), "Blocked")
            return act()

        with self.lock:
            self.pass_time(seconds * self.pace)
            try:
                return self.doors.through(door, answer, lambda: self.lose(vendor))
            finally:
                for watch in self.watchers:
                    watch(door)

    def note_call(self, door: str, vendor: str, by: str = "operator") -> None:
        """Somebody called a dead vendor."""
        self.called_dead.append({"from": by, "vendor": vendor, "address": door, "port": 0, "attempts": 1})

    def lose(self, vendor: str | None, *, hosts: bool = True) -> None:
        """The vendor closes the account; without `hosts` the machines live on."""
        if vendor is None:
            return
        self.dead.add(vendor)
        for site, outputs in self.outputs.items():
            if hosts and outputs.vendor == vendor and site in self.hosts:
                self.hosts[site].alive = False

    def revive(self, vendor: str) -> None:
        """The vendor lets us in again; hosts that are still there start as they were."""
        self.dead.discard(vendor)
        for site, outputs in self.outputs.items():
            if outputs.vendor == vendor and site in self.hosts:
                self.hosts[site].alive = True
                self.hosts[site].lease_until = 0

    def host_at(self, address: str) -> Host | None:
        """The living host at this address."""
        for site, outputs in self.outputs.items():
            if address in outputs.addresses and (host := self.hosts.get(site)) and host.alive:
                return host
        return None


def site_private(site: str, epoch: int) -> Ed25519PrivateKey:
    """What a site's host signs with in one epoch."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"{site}{epoch}".encode()).digest())
