"""Faults and users of the simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resilience.model import Fleet
from resilience.simulation.state import State

RATE = 20
"""Writes a second."""
LAG_S = 0.2
"""What is younger than this when the fault hits is in no vault yet."""


@dataclass
class SimulatedGround:
    """Faults in memory."""

    sim: State
    fleet: Fleet
    users: SimulatedUsers

    def inject(self, fault: str, vendors: tuple[str, ...]) -> None:
        """The vendors are gone; what was written a moment ago reached no vault."""
        self.users.write_until_now()
        self.users.replicate(before=self.sim.now - LAG_S)
        self.sim.dead.update(vendors)
        for site, outputs in self.sim.outputs.items():
            if outputs.vendor in vendors:
                self.sim.hosts[site].alive = self.sim.hosts[site].serving = False

    def blackhole(self, vendors: tuple[str, ...]) -> None:
        """Calls on dead vendors are always counted here."""

    def blackhole_calls(self) -> list[dict[str, Any]]:
        """Each call that was tried."""
        return list(self.sim.called_dead)


@dataclass
class SimulatedUsers:
    """Users who write at a constant rate while a site serves."""

    sim: State
    fleet: Fleet
    writes: list[dict[str, Any]] = field(default_factory=list)
    since: float | None = None
    old_site: str = ""

    def seed(self, size: str, seed: int) -> Mapping[str, Any]:
        """A few rows at once."""
        host = self.sim.hosts[self.fleet.primary.name]
        host.rows.update({f"seed{i}": self.sim.now for i in range(500)})
        host.pictures.update(host.rows)
        return {"users": 10, "posts": 500, "pictures": 500}

    def begin(self, seed: int) -> None:
        """Write from now on."""
        self.since = self.sim.now
        self.sim.pass_time(12.0)
        self.write_until_now()

    def write_until_now(self) -> None:
        """Catch up with the clock: rows on the host that serves, acknowledged one by one."""
        serving = [h for h in self.sim.hosts.values() if h.alive and h.serving]
        if self.since is None or not serving:
            return
        while self.since + 1 / RATE <= self.sim.now:
            self.since += 1 / RATE
            write = f"w{len(self.writes)}"
            serving[-1].rows[write] = self.since
            serving[-1].pictures.add(write)
            self.writes.append({"id": write, "at": round(self.since, 3), "media": None})

    def replicate(self, before: float) -> None:
        """What ship had put into the vaults by then."""
        for site, host in self.sim.hosts.items():
            if host.shipping:
                held = {row: at for row, at in host.rows.items() if at <= before}
                for vault in self.fleet.vaults_for(site):
                    self.sim.copies.setdefault(vault.name, {}).update(held)

    def recent(self, seconds: float) -> int:
        """Writes acknowledged in the last seconds."""
        return sum(1 for write in self.writes if write["at"] >= self.sim.now - seconds)

    def moderator(self) -> str:
        """Anybody."""
        return "moderator"

    def take_down(self, count: int) -> int:
        """Entries in the ledger of every vault; the rows go."""
        host = self.sim.hosts[self.fleet.primary.name]
        for number in range(1, count + 1):
            host.rows.pop(f"seed{number}", None)
            host.ledger.append(f"ledger/{number:08d}")
            for vault in self.fleet.vaults_for(self.fleet.primary.name):
                self.sim.objects.setdefault(vault.name, {})[f"ledger/{number:08d}"] = b"entry"
        return count

    def try_old_site(self, address: str) -> None:
        """Remember whom to try."""
        self.old_site = address

    def end_old_site(self) -> tuple[int, list[str]]:
        """One try at the end: a dead host takes nothing."""
        alive = [
            site
            for site, outputs in self.sim.outputs.items()
            if self.old_site in outputs.addresses and self.sim.hosts[site].serving
        ]
        return 1, [f"old-{site}" for site in alive]

    def end(self) -> tuple[list[dict[str, Any]], list[list[Any]]]:
        """All writes; requests were the same, all answered while a site served."""
        return self.writes, [[w["at"], "post", True, 12.0, "200"] for w in self.writes]
