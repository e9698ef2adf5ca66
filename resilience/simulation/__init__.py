"""The in-memory World: the same ports, no machine behind them. For `--simulate` and for tests.

Every door can be broken at its n-th call, because faults that begin in the middle of a
failover are the ones that hurt. Time is the simulation's own.
"""

from resilience.simulation.ground import SimulatedGround, SimulatedUsers
from resilience.simulation.state import Doors, State
from resilience.simulation.world import simulated_fleet, simulated_world

__all__ = [
    "Doors",
    "SimulatedGround",
    "SimulatedUsers",
    "State",
    "simulated_fleet",
    "simulated_world",
]
