"""Fleet: what the operator intends. One `fleet.toml`, loaded by `resilience.config`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeVar

from resilience.errors import UsageError
from resilience.model.rights import beneath
from resilience.model.stack import ENCRYPTED, SIZES, STACKS, Evidence, Machine

Durability = Literal["async", "quorum"]
TooFewVaults = Literal["wait", "degrade"]
PastBacklog = Literal["drop", "stop"]
VaultKind = Literal["s3", "gcs", "sftp"]
ZoneKind = Literal["powerdns", "rfc2136", "route53", "cloudflare", "hetzner", "google"]
Standby = Literal["hot", "cold"]


@dataclass(frozen=True, slots=True)
class Vendor:
    """A company that can end an account; everything belongs to one."""

    name: str
    account: str | None = None
    """URL of the account API; None where hosts are simply there (bare metal)."""
    parent: str | None = None
    upstreams: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()
    """Vendors that are expected to leave on the same day."""
    addresses: tuple[str, ...] = ()
    """Networks (CIDR) of this vendor: what a failover must never call once it is dead."""


@dataclass(frozen=True, slots=True)
class Site:
    """One place the app can live: a vendor, a stack, its hosts."""

    name: str
    vendor: str
    stack: str
    standby: Standby = "cold"
    addresses: tuple[str, ...] = ()
    """Hosts that are simply there, for the bare-metal stack."""
    size: str = "small"
    """One of ours: `small`, `medium`, `large`."""
    least: Machine | None = None
    """What a host has at least; goes before `size`."""
    type: str = ""
    """The vendor's own name for a kind of host; goes before both."""
    region: str = ""
    zone: str = ""
    image: str = ""
    """The vendor's own name or id; without one, the newest Debian 12."""
    disk: str = ""
    """What encrypts its disk: at OpenStack vendors the name of a kind of volume, on bare metal what the operator says."""
    disk_key: bool = False
    """What is ours on its disk is encrypted with a key of the operator's, handed over by `up` after each boot."""
    network: str = ""
    """The site's own network (CIDR) behind its public addresses."""
    live: date | None = None
    """The day on which `scripts/live` ran this stack in the operator's own account."""

    @property
    def machine(self) -> Machine:
        """What a host of this site has at least."""
        return self.least or SIZES[self.size]

    @property
    def encrypted(self) -> bool:
        """Whether its hosts' disks are encrypted: by a vendor, who holds the key, or on bare metal by the operator's word."""
        return self.stack in ENCRYPTED or bool(self.disk)

    @property
    def evidence(self) -> Evidence:
        """How far this site's stack was tried: evidence is about a stack, the hazard `never-run-here` about a site."""
        return Evidence("live", self.live) if self.live else STACKS[self.stack]


@dataclass(frozen=True, slots=True)
class VaultSpec:
    """An object store that holds encrypted copies, at a vendor other than the primary's."""

    name: str
    vendor: str
    kind: VaultKind
    endpoint: str
    bucket: str
    region: str = "us-east-1"
    stack: str = ""
    """Which stack makes the bucket and its principals (`aws`, `gcp`, `s3`); empty where they were made by hand."""
    copies_only: bool = False
    """True for a store without conditional create or read after write: it is a mirror, never counts in n, seals nothing."""
    lock_days: int = 0
    """So long nobody can remove a version of an object, where the store has such a lock; at Google what was removed can be brought back."""
    boundary: str = ""
    """At AWS: the policy (ARN) that no user of the vault may go beyond, whatever else the user is given."""
    price_per_1000_puts: float | None = None
    """In whatever money the operator counts; told as a metric."""
    beneath: str = ""
    """In a rehearsal: the prefix below which everything it puts lies; what is there of the fleet is only read."""
    within: str = ""
    """The prefix below which all of it lies, where a mirror stands for the vault that was copied to it."""

    @property
    def keeps_thieves_out(self) -> bool:
        """Whether its lock is one that nobody lifts; Google's soft delete is ended by whoever has the account's key."""
        return bool(self.lock_days) and self.kind != "gcs"


@dataclass(frozen=True, slots=True)
class ZoneSpec:
    """The name's zone at one DNS vendor."""

    vendor: str
    kind: ZoneKind
    endpoint: str = ""
    """Where its interface answers; needed where it is the operator's own choice (PowerDNS, RFC 2136)."""
    zone: str = ""
    """The zone the name is in; needed where zones are not listed (RFC 2136)."""
    nameservers: tuple[str, ...] = ()
    """What the registrar delegates to where this vendor serves the zone."""
    spare: bool = False
    """Kept like the others and delegated to by nobody: with all others lost only the delegation is changed."""


@dataclass(frozen=True, slots=True)
class RecordSpec:
    """Records of one name and kind, the same at every DNS vendor."""

    name: str
    """A full name, or `@` for the zone's own."""
    type: str
    ttl_s: int
    values: tuple[str, ...]
    """As a zone file has them."""


@dataclass(frozen=True, slots=True)
class AuthoritySpec:
    """A certificate authority that speaks ACME."""

    name: str
    directory: str
    """Where its interface begins: the ACME directory's URL."""


@dataclass(frozen=True, slots=True)
class Names:
    """The public name and where it is served from."""

    host: str
    ttl_s: int
    zones: tuple[ZoneSpec, ...]
    registrar: str = ""
    """Where the zone's delegation is changed when a DNS vendor is lost; a person does that."""
    authorities: tuple[AuthoritySpec, ...] = ()
    """Who is asked for a certificate, in this order; where nobody is, the site serves plain HTTP."""
    records: tuple[RecordSpec, ...] = ()
    """What else every DNS vendor serves; the host's own addresses are moved by plans."""
    rdap: str = ""
    """Where the registry tells how the domain stands."""
    contact: str = ""
    """Where authorities write to when something is wrong with a certificate."""

    @property
    def scheme(self) -> str:
        """How users reach the name."""
        return "https" if self.authorities else "http"


@dataclass(frozen=True, slots=True)
class Promise:
    """What the operator promised the users, in seconds."""

    rto_s: float
    rpo_s: float
    human_decide_s: float = 300.0
    drill_every_days: float = 7.0
    verify_every_days: float = 7.0
    """`status` is critical when the last drill or rehearsal that passed is older than this; labs are exempt."""


@dataclass(frozen=True, slots=True)
class Replication:
    """How copies are kept: an epoch is sealed in `s` vaults, an LSN confirmed by `k` of them."""

    k: int
    s: int
    durability: Durability = "async"
    spacing_ms: int = 200
    snapshot_minutes: float = 60.0
    """How often the operator's timer takes a snapshot: what was written since has to be replayed."""
    keep_days: float = 30.0
    """How far back a vault can be restored to, once older snapshots are pruned."""
    erase_after_days: float = 7.0
    """So long after this machine first saw a ledger's entry its pictures stay in the vaults: time to notice a forged one."""
    lease_s: float = 5.0
    drift_s: float = 1.0
    """How far apart two machines' clocks may run during one lease."""
    too_few_vaults: TooFewVaults = "wait"
    """What quorum commits do while fewer than k vaults take them."""
    backlog_mb: int = 4096
    """What may wait on the primary's disk for one vault; Postgres lets go of WAL at twice that."""
    past_backlog: PastBacklog = "drop"
    """Past it: leave the vault behind while k others have no hole and are below it, or stop writes."""

    @property
    def leased(self) -> bool:
        """Whether commits may be acknowledged that no vault holds, so that only a lease stops an old site."""
        return self.durability == "async" or self.too_few_vaults == "degrade"

    @property
    def lapse_s(self) -> float:
        """Seconds after a seal for which a site that was told this may still write; 0 where each commit waits for vaults."""
        return self.lease_s + self.drift_s if self.leased else 0.0


Named = TypeVar("Named", Vendor, Site, VaultSpec)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The app, its sites in order of preference, vaults, names and the promise."""

    name: str
    app: str
    vendors: tuple[Vendor, ...]
    sites: tuple[Site, ...]
    vaults: tuple[VaultSpec, ...]
    names: Names
    promise: Promise
    replication: Replication
    kit: str = "kit"
    """Directory of keys and credentials, relative to the fleet file."""
    lab: bool = False
    """True where the vendors are made on this machine, so that faults may be injected."""
    rehearsal: str = ""
    """The rehearsal that this copy of the fleet is for; its app sends nothing to anybody."""
    operators: tuple[str, ...] = ()
    """Networks (CIDR) the operators come from: nobody else reaches a host by SSH."""

    @property
    def beneath(self) -> str:
        """In a rehearsal the prefix of all that it puts, by which its signatures are told from the fleet's; else empty."""
        return beneath(self.rehearsal)

    @property
    def primary(self) -> Site:
        """The site the operator prefers."""
        return self.sites[0]

    def site(self, name: str) -> Site:
        """The site called `name`; UsageError when there is none: epochs may name what has left the file since."""
        try:
            return next_named(self.sites, name)
        except KeyError:
            raise UsageError(
                f"No site is called {name}.",
                "The fleet file does not declare it; where an epoch lets it write, it left the file too early, or the file here is an older one.",
                f"Put {name} back into it, with its vendor: a site may leave the file once another one may write. "
                f"Declared: {', '.join(site.name for site in self.sites)}.",
            ) from None

    def vendor(self, name: str) -> Vendor:
        """The vendor called `name`; KeyError when there is none."""
        return next_named(self.vendors, name)

    def vault(self, name: str) -> VaultSpec:
        """The vault called `name`; KeyError when there is none."""
        return next_named(self.vaults, name)

    @property
    def sealing(self) -> tuple[VaultSpec, ...]:
        """Vaults that may count in n."""
        return tuple(vault for vault in self.vaults if not vault.copies_only)

    @property
    def mirrors(self) -> tuple[VaultSpec, ...]:
        """Vaults that only hold what was copied out of another one, by the operator."""
        return tuple(vault for vault in self.vaults if vault.copies_only)

    @property
    def locked(self) -> frozenset[str]:
        """Vaults that keep what people delete for longer than `erase_after_days`, whoever asks."""
        return frozenset(v.name for v in self.vaults if v.lock_days > self.replication.erase_after_days)

    def vaults_for(self, primary: str, dead: frozenset[str] = frozenset()) -> tuple[VaultSpec, ...]:
        """Vaults that may serve while `primary` is the primary site: never at its vendor, never those for copies only."""
        home = self.site(primary).vendor
        return tuple(v for v in self.sealing if v.vendor != home and v.vendor not in dead)


def payload_only(locked: frozenset[str], vaults: Iterable[str], k: int) -> frozenset[str]:
    """Which vaults of a set keep of pictures the payload alone: the locked ones, where k others keep whole ones. Pure."""
    names = frozenset(vaults)
    return names & locked if len(names - locked) >= k else frozenset()


def next_named(things: tuple[Named, ...], name: str) -> Named:
    """The thing called `name`; KeyError when there is none."""
    for thing in things:
        if thing.name == name:
            return thing
    raise KeyError(name)
