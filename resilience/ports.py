"""Ports: what each outside thing must be able to do, and World = all of them.

Every port has a real adapter and an in-memory fake; one contract suite runs on both.
Anything here may raise a `resilience.errors.ResilienceError`; nothing returns half an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from resilience.model import (
    Certificate,
    EpochRecord,
    Event,
    Notice,
    Point,
    RecordSpec,
    Registration,
    Site,
    SiteOutputs,
    Stage,
)


@dataclass(frozen=True, slots=True)
class Uptime:
    """A clock that nobody sets. Two of one boot can be compared, in whichever process they were taken; others say nothing."""

    boot: str
    seconds: float


class Clock(Protocol):
    """Time, so that a test can own it."""

    def now(self) -> float:
        """Seconds since the Unix epoch, as the machine is told: somebody may set it, also while a step runs."""

    def uptime(self) -> Uptime:
        """Seconds since this machine was booted, sleep included: for whatever must not end too soon."""

    def sleep(self, seconds: float) -> None:
        """Wait; only for polling a condition or for a lease to run out."""


class Vault(Protocol):
    """An object store that holds copies. Objects are written once."""

    name: str

    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` if absent. True: created; False: the store says that something is there (untouched); else raises."""

    def get(self, key: str) -> bytes | None:
        """The whole object; None only when the store says that it does not exist. Oversized where it is larger than its kind."""

    def exists(self, key: str) -> bool:
        """Whether `key` is there, read after write."""

    def list(self, prefix: str) -> list[str]:
        """Keys with this prefix, in order. May be stale: never a proof of absence."""

    def delete(self, key: str) -> None:
        """Remove `key`; no error when absent. Only the operator's principal may."""

    def erase(self, key: str) -> None:
        """Remove every version of `key`, for good; no error when absent. Raises while the store holds one back."""

    def close(self) -> None:
        """Never call the store again: no connection is opened from here on, also not by a request that is under way."""


class Account(Protocol):
    """A vendor's account API, as far as anybody may ask it before and after a termination."""

    def is_open(self) -> bool:
        """True: it serves us. False: it answers as a closed account does. Else raises."""


class Cloud(Protocol):
    """Infrastructure of one site, made by its stack."""

    def up(self, site: Site) -> SiteOutputs:
        """Make the site (idempotent) and return what the stack exports."""

    def outputs(self, site: Site) -> SiteOutputs | None:
        """What the last `up` exported, from state alone; None when it never ran."""

    def down(self, site: Site) -> None:
        """Destroy what `up` made (idempotent)."""

    def state(self, site: Site) -> bytes | None:
        """The stack's state, exported, without any credential; None when there is none."""

    def adopt(self, site: Site, exported: bytes, *, over: bool = False) -> None:
        """Take over a state that another machine exported; Refused where this one has its own, unless `over`: then that is put aside."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A data directory that was recovered and promoted."""

    switch_lsn: str
    timeline: int
    end_lsn: str
    """End of the merged chain: the last byte of WAL that any vault holds without a hole."""
    replay_s: float = 0.0
    """Seconds that Postgres took to replay to there; 0 on a standby that had."""
    skipped: int | None = None
    """How many numbers of each sequence were skipped, since somebody may have been shown them; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Snapshots:
    """One snapshot, as it came to each vault."""

    taken: Mapping[str, str]
    """Vault → snapshot id, with a label that names it."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Vault → why it has none."""


@dataclass(frozen=True, slots=True)
class ReadBack:
    """A snapshot that a vault gave back, label and data, to somebody who did not put it there."""

    start_lsn: str
    """Where WAL is needed from."""
    at: float
    """When it was taken."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The chain as merged from all sealed vaults, and the snapshot it starts from."""

    snapshot: str
    snapshot_vault: str
    end_lsn: str
    confirmed_lsn: str
    timeline: int
    system_id: str
    chunks: int
    healed: tuple[str, ...]
    """Chunks that one vault lacked or held altered, and another had whole."""
    restic_s: float = 0.0
    """Seconds that restic took for the files; 0 on a standby that has them."""


class Plane(Protocol):
    """The data plane on one site's host. Each call is idempotent and re-reads its facts."""

    def shape(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Mapping[str, Any]:
        """Bring the host into shape from supplies alone: packages, units, files, keys."""

    def locked(self, site: Site, outputs: SiteOutputs) -> bool:
        """Whether the host's disk waits for its key; `shape` hands it over."""

    def follow(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Mapping[str, Any]:
        """Start to follow this epoch from the vaults, as a hot standby; returns once it can be read."""

    def create(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Mapping[str, Any]:
        """First day only: an empty database; refuses where there already is one."""

    def warm(self, site: Site, outputs: SiteOutputs) -> None:
        """Let the host load what `restore`, `recover`, `fetch_ledger`, `fetch_first` and `nowhere` need; nothing is read, changed or opened by it."""

    def restore(
        self,
        site: Site,
        outputs: SiteOutputs,
        epoch: EpochRecord,
        accept_end: str | None = None,
        until: Mapping[str, Any] | None = None,
    ) -> Merged:
        """Newest good snapshot, the merged chain, put again into k vaults; opening record last.

        A chain that is broken in all vaults raises BrokenChain, unless it is good until exactly `accept_end`.
        With `until` ({epoch, lsn}) it ends there, whatever was written after.
        """

    def point(self, at: str | None, of: int | None = None) -> Point:
        """Where a restore to a time or position would end, of the newest history or of an epoch's; raises where it can't."""

    def recover(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord, stood_down: str | None = None) -> Recovered:
        """Replay to the end of the chain and promote; raises ShortRecovery instead of less.

        Sequences skip numbers, unless the chain holds all up to `stood_down`, where the site before stopped for good.
        """

    def fetch_ledger(self, site: Site, outputs: SiteOutputs) -> int:
        """Bring the ledger from all vaults; the number of entries."""

    def fetch_first(self, site: Site, outputs: SiteOutputs) -> int:
        """Bring what the app needs of pictures before anybody is let in; the number fetched."""

    def fetch_media(self, site: Site, outputs: SiteOutputs, named: Sequence[str] = ()) -> int:
        """Bring pictures that are missing on the host, of these or of all that rows name; the number fetched."""

    def fetch_ahead(self, site: Site, outputs: SiteOutputs, within_s: float) -> Mapping[str, Any]:
        """Bring the pictures that vaults hold to a host that may not write yet, for so long: {objects, fetched, left, lost}, lost by name."""

    def named(self, site: Site, outputs: SiteOutputs) -> Sequence[str]:
        """All pictures that the rows of a site that serves name."""

    def out_of_reach(self, site: Site, outputs: SiteOutputs, named: Sequence[str] = ()) -> Sequence[str]:
        """Of these pictures, or of all that the rows of a host that follows name, those that it lacks and no vault gives.

        What one gives is kept there.
        """

    def nowhere(self, site: Site, outputs: SiteOutputs) -> Sequence[str]:
        """Pictures that rows name and neither the host nor any vault has; TooFewVaults where one that k vaults hold could be missed."""

    def start_ship(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> None:
        """Start shipping under this epoch; returns once a first chunk is confirmed by k vaults."""

    def begin_ship(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> None:
        """Let ship start under this epoch ahead of time: it loads, and waits until the copy there was promoted."""

    def admit(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord, vaults: Sequence[str]) -> None:
        """Let the site's ship put into these vaults too, as soon as an epoch of its own names them."""

    def await_turn(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> None:
        """Return once the site goes on under this epoch, which continues its own, and k vaults count there."""

    def force_turn(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> None:
        """The same, by the operator's word alone: too few vaults of the site's own epoch are left to seal this one."""

    def snapshot(self, site: Site, outputs: SiteOutputs) -> Snapshots:
        """Take a snapshot into each vault of the epoch; raises where none took it."""

    def verify_snapshot(self, vault: str, snapshot: str) -> ReadBack | None:
        """This snapshot as the vault really holds it, label and data, read by another principal; None where it is not whole."""

    def read_back(self, site: Site, outputs: SiteOutputs, found: Mapping[str, ReadBack]) -> None:
        """Tell the site's ship which vaults gave a snapshot back: only that leads past lost WAL, and its metrics say when it was taken."""

    def witness(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """What the primary sees of itself at a position, signed: {position, snapshots, tables, left_out}; raises where it can't tell."""

    def verify(self, vault: str, at: str | None, witness: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Restore from this vault alone, up to a position, start it, check and count it; raises where it is not whole.

        With a witness it goes to where that was taken, and tells which transactions are committed there `early`: before the primary
        saw them.
        """

    def proven(self, site: Site, outputs: SiteOutputs, vault: str) -> None:
        """Tell the site's ship that this vault gave the database back just now, so that its metrics say when."""

    def prune(self, vault: str, proven: Sequence[str], unlabelled: Sequence[str], *, really: bool) -> Mapping[str, Any]:
        """Remove from this vault what lies before the oldest of these snapshots, and copies that no label names; without `really` only say what would go.

        Of the oldest one's own epoch those of `unlabelled` go; who else has no label there is told as `waiting`.
        """

    def removed(self) -> Mapping[str, Any]:
        """What the whole ledger says is gone: {entries, head, pictures: {sha256: number of the entry}}."""

    def restore_at(self, folder: Path, at: str | None, of: int | None = None) -> Mapping[str, Any]:
        """A copy as it was at a moment (or all there is) below an empty folder here; raises where it would be short."""

    def status(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """What ship says, and how long ago: epoch, lag in seconds and bytes a vault, confirmed LSN; at a standby what follow says."""

    def versions(self, site: Site, outputs: SiteOutputs) -> Mapping[str, str]:
        """What must be the same wherever a physical copy starts, as far as the host has it: {arch, postgres, collation}."""

    def shipped(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """What ship last said by itself, at once: {age_s, lag_bytes, confirmed_lsn, vaults: {name: {lag_bytes}}}."""

    def database(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """The database on the host, running or not: {there, nonce, told}, by their nonces the epoch under which it was brought and the one the host was told, or empty."""

    def set_aside(self, site: Site, outputs: SiteOutputs, newest: EpochRecord) -> Mapping[str, Any]:
        """Move away what an older epoch left on the host, whole; {aside: where, or empty}. Nothing of `newest` is touched."""

    def stand_down(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Stop a superseded site for good once all it wrote is in the vaults; {end_lsn}. Raises where that is in doubt."""

    def catch_up(self, site: Site, outputs: SiteOutputs, vault: str) -> Mapping[str, Any]:
        """Give a vault that ship left behind what it lacks, from other vaults: {vault, chunks, objects}."""

    def without(self, vaults: frozenset[str], *, forced: bool = False) -> Plane:
        """The same, with no door to these vaults, neither from here nor from a host.

        `forced`: those that are left count as all there ever were, whatever the others may hold.
        """


@dataclass(frozen=True, slots=True)
class TakenDown:
    """How many posts went, and which words named none: those can't be obeyed."""

    count: int
    no_posts: tuple[str, ...] = ()


class App(Protocol):
    """The app, as far as the toolkit knows it: on its host, and from outside.

    On its host it hands files over to ship, of three kinds: `ledger` and `key`, of which it is told once they are held, and `media`.
    """

    @property
    def ready_path(self) -> str:
        """Where it says whether it is ready; a gate never closes this."""

    @property
    def sign_up_paths(self) -> tuple[str, ...]:
        """Where accounts are made (by POST); a gate opens these last."""

    def replay_ledger(self, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Apply every takedown and erasure; {entries, applied, head, position}."""

    def take_notice(self, outputs: SiteOutputs, notice: Notice, letter: str) -> Mapping[str, Any]:
        """Put a vendor's letter before the moderators, each named post a case of its own; {named, unknown, …}."""

    def evidence(self, outputs: SiteOutputs, notice: Notice) -> bytes:
        """One signed file with what was named, and what was decided about each."""

    def fill(self, outputs: SiteOutputs, size: str, seed: int) -> Mapping[str, Any]:
        """Before a drill: put in what is too much for the app's front door; {users, posts, pictures}, nothing for small."""

    def warm(self, outputs: SiteOutputs) -> None:
        """Let the host load what `replay_ledger` and `facts` need; nothing is read, changed or opened by it."""

    def begin(self, outputs: SiteOutputs) -> None:
        """Let it start ahead of time, behind its gate: it is not ready before the database was promoted."""

    def start(self, outputs: SiteOutputs) -> None:
        """Start serving; returns when it is ready by its address."""

    def facts(self, outputs: SiteOutputs) -> Mapping[str, Any]:
        """{users, posts, media {objects, missing, corrupt}, ledger {entries}, takedowns {issued, resurrected}}."""

    def serving(self, outputs: SiteOutputs) -> bool:
        """Whether the app answers ready by its address."""

    def appoint(self, outputs: SiteOutputs, account: str) -> None:
        """Let this account moderate."""

    def post_id(self, named: str) -> str | None:
        """The id of the post that is named so, by its id or its public address; None where this is no post's, be there one or not."""

    def take_down(self, outputs: SiteOutputs, posts: Sequence[str], reason: str) -> TakenDown:
        """Take these posts down for good, with the app still closed; what names no post is passed over, and told."""

    def still_named(self, outputs: SiteOutputs, pictures: Sequence[str]) -> frozenset[str]:
        """Of these pictures (sha256) those that a row names, once every upload that is under way has ended."""

    def ship_again(self, outputs: SiteOutputs, pictures: Sequence[str]) -> int:
        """Hand these pictures to ship once more; how many the host has."""

    def queue(self, outputs: SiteOutputs) -> Mapping[str, Any]:
        """{moderators, open, reached}: whether a moderator can really read the moderation queue there."""


@dataclass(frozen=True, slots=True)
class SealedCertificate:
    """A certificate, and all that a proxy needs to go on with it, encrypted to the fleet's recipients."""

    certificate: Certificate
    sealed: bytes


class Gate(Protocol):
    """A site's proxy: how far it is open. It knows the app only by the paths that the app named."""

    def root(self, outputs: SiteOutputs) -> str:
        """Whom to trust (PEM) at the site's own address, where it can't be reached by the public name."""

    def certificate(self, outputs: SiteOutputs, wait_s: float = 0.0) -> SealedCertificate:
        """What it serves the name with, waited for so long; raises where it has none that is good."""

    def begin(self, outputs: SiteOutputs, under: Sequence[str]) -> Stage:
        """Close it, unless it was opened under one of these epochs: what is there was written under all of them without a break.

        They go by their nonces, the newest first, which it knows from then on. The stage it is at.
        """

    def go_on(self, outputs: SiteOutputs, under: Sequence[str]) -> Stage:
        """Where it was opened under one of these epochs, note the first: the site writes on. Never closes it; the stage it is at."""

    def set(self, outputs: SiteOutputs, stage: Stage) -> Stage:
        """Let through from now on what this stage lets through, and no more; the stage it was at."""

    def stage(self, outputs: SiteOutputs) -> Stage:
        """The stage it is at."""


@dataclass(frozen=True, slots=True)
class Journey:
    """A user's journey that succeeded: where it led, and what took how many milliseconds."""

    address: str
    steps: tuple[tuple[str, float], ...]


class Outside(Protocol):
    """Users: whoever reaches the app by its public name, through a caching resolver."""

    def journey(self, address: str | None = None, gate_pass: str | None = None, root: str = "") -> Journey:
        """Log in, post, read back, see a picture: by name, or at an address, where a pass opens a closed gate.

        `root` is whom to trust at the address; without it that is reached by plain HTTP.
        """

    def glance(self) -> Journey:
        """Read and see a picture, by name: what can be done where nobody may write yet."""

    def nameservers(self, host: str) -> tuple[str, ...]:
        """The name servers to which the zone of `host` is delegated, as its parent says."""

    def missing(self, writes: Iterable[str]) -> tuple[list[str], list[str]]:
        """Of these acknowledged writes: those not found, and those that could not be looked for."""


class Zone(Protocol):
    """The name's zone at one DNS vendor."""

    def addresses(self, host: str) -> tuple[str, ...]:
        """What this vendor serves for `host` right now."""

    def ttl_s(self, host: str) -> int | None:
        """How long resolvers may keep what this vendor serves for `host`; None where it serves nothing."""

    def drift(self, host: str, wanted: Sequence[RecordSpec]) -> tuple[str, ...]:
        """Where the zone of `host` is not as wanted, a line each; the addresses of `host` itself don't count."""

    def align(self, host: str, wanted: Sequence[RecordSpec]) -> None:
        """Serve what is wanted (idempotent); nothing else is removed, and `host` itself is left alone."""

    def serials(self, host: str) -> Mapping[str, int]:
        """Name server → serial of the zone's SOA; raises where one does not answer for it."""

    def point(self, host: str, addresses: tuple[str, ...], ttl_s: int) -> None:
        """Serve these addresses for `host` (idempotent)."""


class Log(Protocol):
    """Where events go: a journal file, a screen."""

    def append(self, event: Event) -> None:
        """Keep one event, durably, before returning."""

    def read(self) -> list[Event]:
        """All events so far, in order."""


class Signer(Protocol):
    """The operator's keys: one that seals epochs, and one a site and epoch for its host."""

    def sign(self, payload: bytes) -> str:
        """Ed25519 signature by the operator, hex."""

    def verify(self, payload: bytes, signature: str) -> bool:
        """Whether the operator signed this payload."""

    def site_key(self, site: str, epoch: int) -> str:
        """Public key (hex) with which the site's host signs in this epoch; made when absent."""

    def carry_over(self, site: str, older: int, newer: int) -> None:
        """Let the site's host keep its key and its pass in an epoch that only changes the vault set, whatever was kept under its number."""

    def start_anew(self, site: str, epoch: int) -> None:
        """Let the site's host have a key and a pass of its own in this epoch, whatever an interrupted command kept under its number."""

    def gate_pass(self, site: str, epoch: int) -> str:
        """What lets the operator's own requests through that site's gate in this epoch; made when absent."""


class Supplies(Protocol):
    """What hosts are set up from."""

    def put(self) -> Mapping[str, Any]:
        """Put the supplies into every vault that lacks them; {digest, bytes, vaults}."""

    def without(self, vaults: frozenset[str]) -> Supplies:
        """The same, with no door to these vaults."""


class Ground(Protocol):
    """Where a drill takes place: a lab, or its simulation. Faults exist nowhere else."""

    def inject(self, fault: str, vendors: Sequence[str], seed: int = 0) -> Mapping[str, Any]:
        """Make the fault happen; {at: when the vendors closed, vaults: what was done to each copy}."""

    def blackhole(self, vendors: Sequence[str]) -> None:
        """From now on drop and count every connection to these vendors."""

    def blackhole_calls(self) -> list[dict[str, Any]]:
        """Each place that was called since: {from, vendor, address, port, attempts}."""

    def blackhole_used(self) -> list[dict[str, Any]]:
        """What was sent on connections from before, and got nowhere: {from, vendor, address, port, used} in packets."""

    def delegate(self, servers: Sequence[str]) -> None:
        """Let the parent zone lead to these name servers alone, as a person does at the registrar."""

    def blackhole_complete(self) -> bool:
        """Whether the operator and every surviving host were really watched."""


class Workload(Protocol):
    """Users who go on the whole time, by public name, and remember what was acknowledged."""

    def seed(self, size: str, seed: int) -> Mapping[str, Any]:
        """Fill the app through its own interface; {users, posts, pictures}."""

    def begin(self, seed: int, newcomers: int) -> None:
        """Start the users, and so many who sign up in a second; returns when the first write was acknowledged."""

    def recent(self, seconds: float) -> int:
        """Writes acknowledged in the last seconds."""

    def moderator(self) -> str:
        """The account that will take posts down."""

    def take_down(self, count: int) -> list[str]:
        """Report and take down the oldest posts, as a moderator; those of which it was acknowledged."""

    def try_old_site(self, address: str) -> None:
        """From now on also try to write at this address: the fence must hold."""

    def end_old_site(self) -> tuple[int, list[str]]:
        """Stop trying; how many attempts, and the ids of writes that the old site acknowledged."""

    def end(self) -> tuple[list[dict[str, Any]], list[list[Any]]]:
        """Stop; all acknowledged writes and all requests, as the journal keeps them."""


Deed = Callable[[], None]


def in_turn(deeds: Sequence[Deed]) -> None:
    """One after another; the first that fails is the last."""
    for deed in deeds:
        deed()


@dataclass(frozen=True)
class World:
    """All doors to the outside in one value, so that a test swaps them at once."""

    clock: Clock
    accounts: Mapping[str, Account]
    vaults: Mapping[str, Vault]
    clouds: Mapping[str, Cloud]
    """By site."""
    plane: Plane
    app: App
    gate: Gate
    outside: Outside
    zones: Mapping[str, Zone]
    """By DNS vendor."""
    log: Log
    signer: Signer
    supplies: Supplies
    registration: Callable[[], Registration] | None = None
    """How the domain stands with its registry; None where nobody is declared who tells."""
    mirrors: Mapping[str, Vault] = field(default_factory=dict)
    """Stores that only hold copies; nothing is sealed there."""
    history: Callable[[], Iterable[Mapping[str, Any]]] = tuple
    """What is kept of past drills, one entry each; none where nobody keeps them."""
    together: Callable[[Sequence[Deed]], None] = in_turn
    """Does what needs nothing of each other: side by side, or in turn where nothing may depend on chance."""

    def without(self, vaults: frozenset[str], *, forced: bool = False) -> World:
        """The same World with no door to these vaults: nobody can call them by mistake."""
        left = {name: vault for name, vault in self.vaults.items() if name not in vaults}
        mirrors = {name: mirror for name, mirror in self.mirrors.items() if name not in vaults}
        plane, supplies = self.plane.without(vaults, forced=forced), self.supplies.without(vaults)
        return replace(self, vaults=left, mirrors=mirrors, plane=plane, supplies=supplies)
