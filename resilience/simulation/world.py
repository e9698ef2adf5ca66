"""All fakes over one `State`."""

from __future__ import annotations

from resilience.model import Fleet
from resilience.ports import World
from resilience.simulation.app import SimApp, SimGate, SimOutside
from resilience.simulation.operator import SimClock, SimLog, SimSigner
from resilience.simulation.plane import SimPlane
from resilience.simulation.shipping import ships
from resilience.simulation.state import Held, State
from resilience.simulation.vault import SimSupplies, SimVault
from resilience.simulation.vendors import SimAccount, SimCloud, SimZone


def simulated_world(state: State, fleet: Fleet) -> World:
    """The World of this state; hosts in it ship by themselves while time passes."""
    for spec in fleet.vaults:
        state.vaults.setdefault(spec.name, Held(spec.vendor))
    if not state.goes_on:
        state.goes_on.append(lambda: ships(state))
    return World(
        clock=SimClock(state),
        accounts={v.name: SimAccount(state, v.name) for v in fleet.vendors if v.account},
        vaults={v.name: SimVault(state, v.name) for v in fleet.vaults},
        clouds={s.name: SimCloud(state) for s in fleet.sites},
        plane=SimPlane(state, fleet),
        app=SimApp(state, fleet.names.host),
        gate=SimGate(state),
        outside=SimOutside(state, fleet),
        zones={z.vendor: SimZone(state, z.vendor) for z in fleet.names.zones},
        log=SimLog(state, state.events),
        signer=SimSigner(state, fleet.beneath),
        supplies=SimSupplies(state),
    )
