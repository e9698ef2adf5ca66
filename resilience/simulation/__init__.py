"""The in-memory World: the same ports, no machine behind them. For `--simulate` and for tests.

Every door can be broken at its n-th call, before or after its effect, because faults that begin in the
middle of a failover are the ones that hurt. Time is the simulation's own. What is kept from the real thing:
conditional create and proven absence in vaults, closed vendors that say so, rows that are shipped with a
lag and confirmed by k vaults, epochs that fence the old ship, leases, promotion only after a restore under
the same epoch, a resolver that caches. What is not: bytes, keys, and how long anything really takes.
"""

from resilience.simulation.doors import Break, Doors, Killed
from resilience.simulation.fleet import simulated_fleet
from resilience.simulation.ground import SimulatedGround
from resilience.simulation.operator import SimLog
from resilience.simulation.state import State
from resilience.simulation.users import SimulatedUsers
from resilience.simulation.world import simulated_world

__all__ = [
    "Break",
    "Doors",
    "Killed",
    "SimLog",
    "SimulatedGround",
    "SimulatedUsers",
    "State",
    "simulated_fleet",
    "simulated_world",
]
