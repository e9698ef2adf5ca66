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
    """Faults in memory. In a control-plane fault the hosts live on; else they are off at once."""

    sim: State
    fleet: Fleet
    users: SimulatedUsers

    def inject(self, fault: str, vendors: Sequence[str]) -> Mapping[str, Any]:
        """The vendors close the account."""
        for vendor in vendors:
            self.sim.lose(vendor, hosts=fault != "control-plane")
            if fault == "delete":
                self._delete(vendor)
        return {"vendors": list(vendors), "hosts": "live on" if fault == "control-plane" else "off"}

    def _delete(self, vendor: str) -> None:
        """Everything that lay there is gone as well."""
        for held in self.sim.vaults.values():
            if held.vendor == vendor:
                held.objects, held.chains, held.snapshots = {}, {}, {}
        self.sim.zones.pop(vendor, None)
        for site in [s for s, outputs in self.sim.outputs.items() if outputs.vendor == vendor]:
            self.sim.hosts.pop(site, None)

    def blackhole(self, vendors: Sequence[str]) -> None:
        """Calls on dead vendors are always counted here; what was before does not count."""
        self.sim.called_dead.clear()

    def blackhole_calls(self) -> list[dict[str, Any]]:
        """Each call that was tried."""
        return list(self.sim.called_dead)

    def blackhole_complete(self) -> bool:
        """Every call goes through a door, so none is missed."""
        return True
