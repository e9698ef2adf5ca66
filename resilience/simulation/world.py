"""Fakes of all ports, over one `State`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resilience.errors import BrokenChain, ResilienceError
from resilience.model import (
    EpochRecord,
    Event,
    Fleet,
    Names,
    Promise,
    Replication,
    Site,
    SiteOutputs,
    VaultSpec,
    Vendor,
    ZoneSpec,
)
from resilience.ports import Merged, Recovered, World
from resilience.simulation.state import Host, State

VENDORS = ("acorn", "birch", "cedar", "dover", "elm")


def simulated_fleet(rules: Replication | None = None) -> Fleet:
    """The drill's fleet, with vendors that exist in memory only."""
    url = "http://simulated.invalid"
    return Fleet(
        name="plaza",
        app="plaza",
        vendors=tuple(Vendor(name, account=url) for name in VENDORS),
        sites=(
            Site("acorn", "acorn", "lab"),
            Site("birch", "birch", "lab"),
            Site("cedar", "cedar", "baremetal", addresses=("198.18.3.100",)),
        ),
        vaults=(
            VaultSpec("birch", "birch", "gcs", url, "vault"),
            VaultSpec("cedar", "cedar", "s3", url, "vault"),
            VaultSpec("elm", "elm", "s3", url, "vault"),
        ),
        names=Names(
            "plaza.test",
            30,
            (ZoneSpec("acorn", "powerdns", url), ZoneSpec("dover", "powerdns", url)),
        ),
        promise=Promise(rto_s=90, rpo_s=2),
        replication=rules or Replication(k=2, s=2),
        lab=True,
    )


@dataclass
class SimClock:
    """A clock that only goes on when somebody waits or calls."""

    state: State

    def now(self) -> float:
        """The simulation's time."""
        return self.state.now

    def sleep(self, seconds: float) -> None:
        """Wait, at no cost."""
        self.state.pass_time(seconds)


@dataclass
class SimVault:
    """A vault whose objects are in memory."""

    state: State
    name: str
    vendor: str

    @property
    def _objects(self) -> dict[str, bytes]:
        return self.state.objects.setdefault(self.name, {})

    def _ask(self, verb: str, act: Any) -> Any:
        return self.state.ask(f"vault.{verb}", self.vendor, 0.02, act)

    def put_new(self, key: str, data: bytes) -> bool:
        """Create if absent."""
        return bool(self._ask("put_new", lambda: self._objects.setdefault(key, data) is data))

    def get(self, key: str) -> bytes | None:
        """The object, or None."""
        found: bytes | None = self._ask("get", lambda: self._objects.get(key))
        return found

    def exists(self, key: str) -> bool:
        """Whether it is there."""
        return bool(self._ask("exists", lambda: key in self._objects))

    def list(self, prefix: str) -> list[str]:
        """Keys with the prefix."""
        keys = self._ask("list", lambda: sorted(k for k in self._objects if k.startswith(prefix)))
        return list(keys)

    def delete(self, key: str) -> None:
        """Remove."""
        self._ask("delete", lambda: self._objects.pop(key, None))


@dataclass
class SimAccount:
    """An account API."""

    state: State
    vendor: str

    def is_open(self) -> bool:
        """Open until the vendor is dead; asking a dead one counts as a call."""
        try:
            return self.state.ask("account.is_open", self.vendor, 0.05, lambda: True)
        except ResilienceError:
            if self.vendor in self.state.dead:
                return False
            raise


@dataclass
class SimCloud:
    """Infrastructure of one site."""

    sim: State

    def up(self, site: Site) -> SiteOutputs:
        """Make the host."""

        def make() -> SiteOutputs:
            self.sim.hosts.setdefault(site.name, Host())
            number = VENDORS.index(site.vendor) + 1
            outputs = SiteOutputs(site.name, site.vendor, (f"198.18.{number}.100",), ("key",))
            return self.sim.outputs.setdefault(site.name, outputs)

        return self.sim.ask("cloud.up", site.vendor, 8.0, make)

    def outputs(self, site: Site) -> SiteOutputs | None:
        """From state alone: no vendor is called."""
        return self.sim.outputs.get(site.name)

    def down(self, site: Site) -> None:
        """Destroy it."""
        self.sim.ask("cloud.down", site.vendor, 3.0, lambda: self.sim.hosts.pop(site.name, None))
        self.sim.outputs.pop(site.name, None)

    def state(self, site: Site) -> bytes | None:
        """The stack's state."""
        return site.name.encode() if site.name in self.sim.outputs else None


@dataclass
class SimPlane:
    """The data plane of all sites."""

    sim: State
    fleet: Fleet

    def _host(self, outputs: SiteOutputs, verb: str, seconds: float) -> Host:
        def get() -> Host:
            return self.sim.hosts[outputs.site]

        return self.sim.ask(f"plane.{verb}", outputs.vendor, seconds, get)

    def shape(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Mapping[str, Any]:
        """Shape the host."""
        self._host(outputs, "shape", 22.0).shaped = True
        return {"packages": "supplies"}

    def create(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Mapping[str, Any]:
        """An empty database."""
        self._host(outputs, "create", 2.0).promoted_under = epoch.nonce
        return {}

    def restore(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Merged:
        """Rows of all vaults that answer, merged."""
        host = self._host(outputs, "restore", 6.0)
        if not host.shaped:
            raise ResilienceError("No restic there.", "The host has no shape yet.", "Shape it.")
        readable = [v for v in self.fleet.vaults if v.vendor not in self.sim.dead]
        if not readable:
            raise BrokenChain("everything", "the start", "Bring a vault back.")
        if host.promoted_under != epoch.nonce:
            host.rows = {}
            for vault in readable:
                host.rows.update(self.sim.copies.get(vault.name, {}))
        host.restored_under = epoch.nonce
        end = f"0/{len(host.rows):X}"
        return Merged("sim", readable[0].name, end, end, 1, "1", len(host.rows), ())

    def recover(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> Recovered:
        """Promote what was restored under this epoch."""
        host = self._host(outputs, "recover", 3.0)
        if host.restored_under != epoch.nonce:
            raise ResilienceError("Nothing restored.", "No restore ran.", "Restore first.")
        host.promoted_under = epoch.nonce
        return Recovered("0/1", 2, "0/1")

    def fetch_ledger(self, site: Site, outputs: SiteOutputs) -> int:
        """All entries that any vault holds."""
        host = self._host(outputs, "fetch_ledger", 0.5)
        keys = {
            key
            for vault in self.fleet.vaults
            if vault.vendor not in self.sim.dead
            for key in self.sim.objects.get(vault.name, {})
            if key.startswith("ledger/")
        }
        host.ledger = sorted(keys)
        return len(keys)

    def fetch_media(self, site: Site, outputs: SiteOutputs) -> int:
        """Pictures are rows here."""
        host = self._host(outputs, "fetch_media", 1.0)
        host.pictures = set(host.rows)
        return len(host.pictures)

    def start_ship(self, site: Site, outputs: SiteOutputs, epoch: EpochRecord) -> None:
        """Ship from now on."""
        self._host(outputs, "start_ship", 1.0).shipping = True

    def snapshot(self, site: Site, outputs: SiteOutputs) -> Mapping[str, str]:
        """Rows into each vault of the site."""
        host = self._host(outputs, "snapshot", 4.0)
        vaults = self.fleet.vaults_for(site.name, frozenset(self.sim.dead))
        for vault in vaults:
            self.sim.copies.setdefault(vault.name, {}).update(host.rows)
        return {vault.name: "sim" for vault in vaults}

    def verify_snapshot(self, vault: str, snapshot: str) -> bool:
        """Whether the vault holds rows."""
        self.sim.doors.through("plane.verify_snapshot")
        return self.fleet.vault(vault).vendor not in self.sim.dead

    def status(self, site: Site, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Sizes and lag."""
        host = self._host(outputs, "status", 0.1)
        return {"db_bytes": 1000 * len(host.rows), "media_bytes": 0, "lag_s": 0.2}


@dataclass
class SimApp:
    """The app on its host."""

    sim: State

    def _host(self, outputs: SiteOutputs, verb: str, seconds: float) -> Host:
        hosts = self.sim.hosts
        return self.sim.ask(f"app.{verb}", outputs.vendor, seconds, lambda: hosts[outputs.site])

    def replay_ledger(self, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Apply all entries."""
        entries = len(self._host(outputs, "replay_ledger", 0.5).ledger)
        return {"entries": entries, "applied": 0, "head": "", "position": entries}

    def start(self, outputs: SiteOutputs) -> None:
        """Serve; only what was promoted may."""
        host = self._host(outputs, "start", 2.0)
        if not host.promoted_under:
            raise ResilienceError("No database.", "Nothing was promoted.", "Recover first.")
        host.serving = True

    def facts(self, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Rows and pictures agree in memory."""
        host = self._host(outputs, "facts", 0.5)
        missing = sorted(set(host.rows) - host.pictures) if host.pictures else []
        return {
            "users": 1,
            "posts": len(host.rows),
            "media": {"objects": len(host.rows), "missing": missing, "corrupt": []},
            "takedowns": {"issued": len(host.ledger), "resurrected": []},
        }

    def serving(self, outputs: SiteOutputs) -> bool:
        """Whether it serves."""
        if outputs.vendor in self.sim.dead:
            return False
        return self._host(outputs, "serving", 0.05).serving

    def appoint(self, outputs: SiteOutputs, account: str) -> None:
        """Anybody may moderate in memory."""
        self._host(outputs, "appoint", 0.1)


@dataclass
class SimOutside:
    """Users: they reach what the first living zone points at, after the TTL at the latest."""

    sim: State
    fleet: Fleet

    def _reached(self) -> Host:
        living = [z.vendor for z in self.fleet.names.zones if z.vendor not in self.sim.dead]
        addresses = {a for vendor in living for a in self.sim.zones.get(vendor, ())}
        for site, outputs in self.sim.outputs.items():
            host = self.sim.hosts.get(site)
            if host and outputs.addresses[0] in addresses and host.serving and host.alive:
                return host
        raise ResilienceError("Nobody answers by name.", "It points at no living site.", "Wait.")

    def journey(self, address: str | None = None) -> Sequence[tuple[str, float]]:
        """Get through, or not."""
        self.sim.doors.through("outside.journey")
        self.sim.pass_time(0.2)
        if address is None:
            self._reached()
        return [("log in", 60.0), ("post", 12.0), ("read back", 5.0), ("see a picture", 5.0)]

    def missing(self, writes: Iterable[str]) -> tuple[list[str], list[str]]:
        """Writes that the site by name does not have."""
        host = self._reached()
        return [w for w in writes if w not in host.rows], []


@dataclass
class SimZone:
    """A zone at one DNS vendor."""

    sim: State
    vendor: str

    def addresses(self, host: str) -> tuple[str, ...]:
        """What it serves."""
        zones = self.sim.zones
        return self.sim.ask("zone.addresses", self.vendor, 0.05, lambda: zones.get(self.vendor, ()))

    def point(self, host: str, addresses: tuple[str, ...], ttl_s: int) -> None:
        """Serve these from now on."""
        zones = self.sim.zones
        self.sim.ask("zone.point", self.vendor, 0.2, lambda: zones.update({self.vendor: addresses}))


@dataclass
class SimLog:
    """A journal in memory."""

    sim: State

    def append(self, event: Event) -> None:
        """Keep it."""
        self.sim.events.append(event)

    def read(self) -> list[Event]:
        """All events."""
        return list(self.sim.events)


class SimSigner:
    """Signatures that only this simulation makes: a keyed digest stands for Ed25519."""

    def sign(self, payload: bytes) -> str:
        """A digest."""
        return hashlib.sha256(b"operator" + payload).hexdigest()

    def verify(self, payload: bytes, signature: str) -> bool:
        """Compare digests."""
        return self.sign(payload) == signature

    def site_key(self, site: str, epoch: int) -> str:
        """A made-up public key."""
        return hashlib.sha256(f"{site}{epoch}".encode()).hexdigest()


@dataclass
class SimSupplies:
    """Supplies that weigh nothing."""

    sim: State

    def put(self) -> Mapping[str, Any]:
        """Put them."""
        self.sim.doors.through("supplies.put")
        return {"digest": "simulated", "bytes": 0, "vaults": list(self.sim.objects)}


def simulated_world(state: State, fleet: Fleet) -> World:
    """All fakes over one state."""
    return World(
        clock=SimClock(state),
        accounts={v.name: SimAccount(state, v.name) for v in fleet.vendors if v.account},
        vaults={v.name: SimVault(state, v.name, v.vendor) for v in fleet.vaults},
        clouds={s.name: SimCloud(state) for s in fleet.sites},
        plane=SimPlane(state, fleet),
        app=SimApp(state),
        outside=SimOutside(state, fleet),
        zones={z.vendor: SimZone(state, z.vendor) for z in fleet.names.zones},
        log=SimLog(state),
        signer=SimSigner(),
        supplies=SimSupplies(state),
    )
