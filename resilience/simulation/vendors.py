"""What a vendor sells: an account, hosts, a DNS zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from resilience.errors import Refused, VendorClosed
from resilience.model import RecordSpec, Site, SiteOutputs
from resilience.simulation.fleet import VENDORS
from resilience.simulation.state import Host, State


@dataclass
class SimAccount:
    """An account API."""

    state: State
    vendor: str

    def is_open(self) -> bool:
        """Open until the vendor is dead; asking a dead one counts as a call."""
        try:
            return self.state.ask(f"account.{self.vendor}.is_open", self.vendor, 0.05, lambda: True)
        except VendorClosed:
            return False


@dataclass
class SimCloud:
    """Infrastructure of one site; its state is on the operator's machine."""

    sim: State
    elsewhere: set[str] = field(default_factory=set)
    """Sites of whose hosts this machine knows nothing, whoever made them."""
    older: dict[str, SiteOutputs] = field(default_factory=dict)
    """What this machine believes of sites that another one made anew since; it sees no reason to make anything."""

    def up(self, site: Site) -> SiteOutputs:
        """Make the host; one that is gone is made anew, and where nothing is known of one a second takes its place."""
        number = VENDORS.index(site.vendor) + 1

        def make() -> SiteOutputs:
            if site.name in self.older:
                return self.older[site.name]
            host = self.sim.hosts.get(site.name)
            if host is None or not host.alive or site.name in self.elsewhere:
                self.sim.machines += 1
                self.sim.hosts[site.name] = Host(number=self.sim.machines)
            self.elsewhere.discard(site.name)
            outputs = SiteOutputs(site.name, site.vendor, (f"198.18.{number}.100",), ("key",))
            return self.sim.outputs.setdefault(site.name, outputs)

        return self.sim.ask(f"cloud.{site.name}.up", site.vendor, 8.0, make)

    def outputs(self, site: Site) -> SiteOutputs | None:
        """From state alone: no vendor is called."""
        return self.sim.ask(f"cloud.{site.name}.outputs", None, 0.0, lambda: self._known(site))

    def down(self, site: Site) -> None:
        """Destroy it."""

        def destroy() -> None:
            self.sim.hosts.pop(site.name, None)
            self.sim.outputs.pop(site.name, None)

        self.sim.ask(f"cloud.{site.name}.down", site.vendor, 3.0, destroy)

    def state(self, site: Site) -> bytes | None:
        """The stack's state."""

        def export() -> bytes | None:
            return site.name.encode() if self._known(site) else None

        return self.sim.ask(f"cloud.{site.name}.state", None, 0.0, export)

    def adopt(self, site: Site, exported: bytes, *, over: bool = False) -> None:
        """From here on this machine knows what others do."""

        def know() -> None:
            if self._known(site) and not over:
                raise Refused(
                    f"{site.name} has a state on this machine already.", "It may be newer.", "Use it as it is."
                )
            self.elsewhere.discard(site.name)
            self.older.pop(site.name, None)

        self.sim.ask(f"cloud.{site.name}.adopt", None, 0.5, know)

    def _known(self, site: Site) -> SiteOutputs | None:
        return None if site.name in self.elsewhere else self.older.get(site.name, self.sim.outputs.get(site.name))


@dataclass
class SimZone:
    """A zone at one DNS vendor."""

    sim: State
    vendor: str

    def addresses(self, host: str) -> tuple[str, ...]:
        """What it serves."""
        zones = self.sim.zones
        return self.sim.ask(f"zone.{self.vendor}.addresses", self.vendor, 0.05, lambda: zones.get(self.vendor, ()))

    def ttl_s(self, host: str) -> int | None:
        """What it was last told."""
        return self.sim.ask(f"zone.{self.vendor}.ttl_s", self.vendor, 0.05, lambda: self.sim.ttls.get(self.vendor))

    def drift(self, host: str, wanted: Sequence[RecordSpec]) -> tuple[str, ...]:
        """Nothing but the host's addresses is simulated."""
        return self.sim.ask(f"zone.{self.vendor}.drift", self.vendor, 0.05, lambda: ())

    def align(self, host: str, wanted: Sequence[RecordSpec]) -> None:
        """Likewise."""
        self.sim.ask(f"zone.{self.vendor}.align", self.vendor, 0.05, lambda: None)

    def serials(self, host: str) -> Mapping[str, int]:
        """One name server, always up to date."""
        return self.sim.ask(f"zone.{self.vendor}.serials", self.vendor, 0.05, lambda: {f"ns.{self.vendor}.test": 1})

    def point(self, host: str, addresses: tuple[str, ...], ttl_s: int) -> None:
        """Serve these from now on."""

        def serve() -> None:
            self.sim.zones[self.vendor] = addresses
            self.sim.ttls[self.vendor] = ttl_s

        self.sim.ask(f"zone.{self.vendor}.point", self.vendor, 0.2, serve)
