"""Faults of the simulation: what a vendor does to an account, and who called it afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resilience.model import Fleet
from resilience.simulation.state import State
from resilience.simulation.users import SimulatedUsers


@dataclass
class SimulatedGround:
    """Faults in memory, as the lab has them: in a control-plane fault the hosts live on, else they are off at once.

    A hijacker holds the primary's own credentials, which may delete nothing in a vault; so all that is left to
    destroy lies at the primary's vendor. Bit rot alters what one vault holds: none of it counts any more.
    """

    sim: State
    fleet: Fleet
    users: SimulatedUsers

    def inject(self, fault: str, vendors: Sequence[str], seed: int = 0) -> Mapping[str, Any]:
        """The vendors close the account; copies elsewhere are damaged before, where the fault says so."""
        left = [v.name for v in self.fleet.vaults if v.vendor not in vendors]
        damage: dict[str, dict[str, int]] = {}
        if fault == "bit-rot":
            damage = {left[0]: {"changed": self._rot(left[0])}}
        if fault == "hijack":
            damage = {name: {"objects": len(self.sim.vaults[name].objects), "removed": 0} for name in left}
        at = self.sim.now
        for vendor in vendors:
            self.sim.lose(vendor, hosts=fault != "control-plane")
            if fault in {"delete", "hijack"}:
                self._delete(vendor)
        return {"at": at, "vaults": damage}

    def _rot(self, vault: str) -> int:
        """Chunks, pictures and snapshots fail their checks from now on; how many there were."""
        held = self.sim.vaults[vault]
        many = len(held.pictures) + len(held.snapshots) + sum(len(chain.rows) for chain in held.chains.values())
        held.pictures, held.snapshots, held.rotten = set(), {}, max(held.chains, default=0)
        for chain in held.chains.values():
            chain.rows = {}
        return many

    def _delete(self, vendor: str) -> None:
        """Everything that lay there is gone as well."""
        for held in self.sim.vaults.values():
            if held.vendor == vendor:
                held.objects, held.chains, held.snapshots = {}, {}, {}
        self.sim.zones.pop(vendor, None)
        for site in [s for s, outputs in self.sim.outputs.items() if outputs.vendor == vendor]:
            self.sim.hosts.pop(site, None)

    def delegate(self, servers: Sequence[str]) -> None:
        """It holds at once; who asked before asks again when the TTL is over."""
        self.sim.delegated = tuple(servers)

    def blackhole(self, vendors: Sequence[str]) -> None:
        """Calls on dead vendors are always counted here; what was before does not count."""
        self.sim.called_dead.clear()

    def blackhole_calls(self) -> list[dict[str, Any]]:
        """Each call that was tried."""
        return list(self.sim.called_dead)

    def blackhole_used(self) -> list[dict[str, Any]]:
        """There are no connections, only calls."""
        return []

    def blackhole_complete(self) -> bool:
        """Every call goes through a door, so none is missed."""
        return True
