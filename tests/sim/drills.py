"""Whole drills in memory, with every invariant looked at."""

from __future__ import annotations

from resilience.engine.drill import Drill, run_drill
from resilience.model import Event, Fleet
from resilience.simulation import SimulatedGround, SimulatedUsers, State, simulated_world
from tests.sim.invariants import Monitor
from tests.sim.stage import fleet_with


def run(drill: Drill, fleet: Fleet | None = None, *, slow: bool = False) -> list[Event]:
    """One drill with every invariant looked at; its journal. With `slow` vaults take no more pictures once users write."""
    state = State()
    fleet = fleet or fleet_with("quorum" if drill.durability == "quorum" else "async")
    state.delegated = tuple(server for zone in fleet.names.zones if not zone.spare for server in zone.nameservers)
    world, users = simulated_world(state, fleet), SimulatedUsers(state, fleet)

    def take_no_pictures() -> None:
        if slow and users.since is not None:
            state.hosts[fleet.primary.name].slow = {*state.vaults}

    state.goes_on.append(take_no_pictures)
    Monitor(state, fleet)
    run_drill(world, fleet, SimulatedGround(state, fleet, users), users, drill, lambda _event: None)
    return state.events


def as_if_real(events: list[Event]) -> list[Event]:
    """The same journal without the word that it was simulated."""
    return [Event(e.at, e.kind, {**e.data, "simulated": False}) if e.kind == "drill-started" else e for e in events]
