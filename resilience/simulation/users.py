"""Users of the simulation: they write at a constant rate, by public name, whatever happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resilience.errors import ResilienceError
from resilience.model import Fleet
from resilience.simulation.app import SimOutside
from resilience.simulation.shipping import may_acknowledge, record_takedown, write
from resilience.simulation.state import BEGIN, Host, State

RATE = 20
"""Writes a second."""
SEEDED = 500


@dataclass
class SimulatedUsers:
    """Users who write while time passes, and remember what was acknowledged."""

    sim: State
    fleet: Fleet
    tried: dict[str, float] = field(default_factory=dict)
    """Write → when it was sent; whether it was acknowledged is the state's to say."""
    requests: list[list[Any]] = field(default_factory=list)
    since: int | None = None
    old_site: str = ""
    old_since: int = 0
    old_writes: list[str] = field(default_factory=list)
    old_attempts: int = 0
    taken_down: list[str] = field(default_factory=list)

    def seed(self, size: str, seed: int) -> Mapping[str, Any]:
        """A few rows at once."""
        host = self._primary()
        for number in range(SEEDED):
            write(self.sim, host, f"seed{number}")
        self.sim.pass_time(1.0)
        return {"users": 10, "posts": SEEDED, "pictures": SEEDED}

    def begin(self, seed: int, newcomers: int) -> None:
        """Write from now on; the first seconds pass here."""
        self.since = self.sim.ms
        self.sim.goes_on.append(self._go_on)
        self.sim.pass_time(12.0)

    def recent(self, seconds: float) -> int:
        """Writes acknowledged in the last seconds."""
        since = self.sim.now - seconds
        return sum(1 for write_id, at in self.tried.items() if at >= since and write_id in self.sim.acknowledged)

    def moderator(self) -> str:
        """Anybody."""
        return "moderator"

    def take_down(self, count: int) -> list[str]:
        """Entries in the ledger: acknowledged once k vaults hold them."""
        host, before = self._primary(), len(self.taken_down)
        for number in range(before + 1, before + count + 1):
            take_down(self.sim, host, f"seed{number}")
            self.taken_down.append(f"seed{number}")
        return self.taken_down[before:]

    def try_old_site(self, address: str) -> None:
        """Whom to try from now on."""
        self.old_site, self.old_since = address, self.sim.ms

    def end_old_site(self) -> tuple[int, list[str]]:
        """How often it was tried, and what it acknowledged."""
        self._try_old_site()
        self.old_site, taken = "", [w for w in self.old_writes if w in self.sim.acknowledged]
        return self.old_attempts, taken

    def end(self) -> tuple[list[dict[str, Any]], list[list[Any]]]:
        """Stop; all acknowledged writes and all requests, as the journal keeps them."""
        if self._go_on in self.sim.goes_on:
            self.sim.goes_on.remove(self._go_on)
        acknowledged = [
            {"id": write_id, "at": round(at, 3), "media": None}
            for write_id, at in self.tried.items()
            if write_id in self.sim.acknowledged
        ]
        return acknowledged, self.requests

    def _primary(self) -> Host:
        host = self.sim.hosts.get(self.fleet.primary.name)
        if host is None or not may_acknowledge(self.sim, host):
            raise ResilienceError("The primary takes no posts.", "It is not up.", "Run `resilience up` first.")
        return host

    def _go_on(self) -> None:
        """Catch up with the clock."""
        host = SimOutside(self.sim, self.fleet).reached()
        while self.since is not None and self.since + 1000 // RATE <= self.sim.ms:
            self.since += 1000 // RATE
            self._post(host, BEGIN + self.since / 1000)
        if self.old_site and self.sim.ms >= 1000 * self.old_attempts + self.old_since:
            self._try_old_site()

    def _post(self, host: Host | None, at: float) -> None:
        write_id = f"w{len(self.tried)}"
        self.tried[write_id] = at
        taken = host is not None and write(self.sim, host, write_id)
        answer = ["post", True, 12.0, "200"] if taken else ["post", False, 5000.0, "no answer"]
        self.requests.append([round(at, 3), *answer])

    def _try_old_site(self) -> None:
        host = self.sim.host_at(self.old_site)
        write_id = f"old{self.old_attempts}"
        self.old_attempts += 1
        if host is not None and write(self.sim, host, write_id):
            self.old_writes.append(write_id)


def take_down(state: State, host: Host, row: str) -> None:
    """A moderator takes a row down: not shown any more, and an entry in every vault that is reached."""
    if host.ships is None or not may_acknowledge(state, host):
        raise ResilienceError("Nothing was taken down.", "The site takes no writes.", "Try again.")
    record_takedown(state, host, row)
