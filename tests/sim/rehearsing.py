"""A rehearsal beside the simulated fleet: it reads what the vaults hold, and what it puts lies apart."""

from __future__ import annotations

import copy
from dataclasses import replace

from resilience.decide import rehearsal_fleet
from resilience.decide.rehearsal import SUFFIX
from resilience.engine.rehearsal import Rehearsal
from resilience.model import Fleet
from resilience.ports import World
from resilience.simulation import SimLog, simulated_world
from resilience.simulation.shipping import ship
from resilience.simulation.state import State
from tests.sim.stage import Operator, Stage


def rehearse(operator: Operator, to: str = "birch") -> None:
    """As `resilience rehearse` does: never gone on with, always begun anew; what a killed one left is removed first."""
    stage = operator.stage
    fleet = rehearsal_fleet(stage.fleet, to, "r1", "acorn")
    Rehearsal(operator.world, stage.fleet, beside(stage, fleet), fleet).run(frozenset(), lambda _: None)


def beside(stage: Stage, rehearsed: Fleet) -> World:
    """The World that a rehearsal has for itself, with a journal of its own."""
    state = stage.beside = _beside(stage)
    return replace(simulated_world(state, rehearsed), log=SimLog(state, state.events))


def _beside(stage: Stage) -> State:
    """The same outside as a rehearsal sees it: its own hosts and objects, the fleet's own doors, vendors and time."""
    mine = stage.state
    left = stage.beside
    kept = {site for site in (left.hosts if left else ()) if site.endswith(SUFFIX)}
    beside = replace(
        mine,
        vaults=copy.deepcopy(mine.vaults),
        zones={},
        hosts={**mine.hosts, **{site: left.hosts[site] for site in kept if left}},
        outputs={**mine.outputs, **{site: left.outputs[site] for site in kept if left}},
        carried=dict(mine.carried),
        confirmed=set(mine.confirmed),
        taken_down=set(mine.taken_down),
        events=[],
    )
    beside.goes_on = [lambda: _go_on(mine, beside)]
    return beside


def _go_on(mine: State, beside: State) -> None:
    """Time passes for the fleet as well; here only what was rehearsed ships."""
    mine.pass_time((beside.ms - mine.ms) / 1000)
    for site, host in beside.hosts.items():
        if site.endswith(SUFFIX) and host.alive and host.ships is not None and not host.fenced:
            ship(beside, host)


def untouched(stage: Stage) -> None:
    """Nothing of it is left, the fleet is as it was, and users noticed nothing."""
    assert stage.beside is not None
    if left := [site for site in stage.beside.hosts if site.endswith(SUFFIX)]:
        rehearse(stage.operator)  # a host that could not be removed is told, and removed by the next
        left = [site for site in stage.beside.hosts if site.endswith(SUFFIX)]
    assert left == []
    newest = stage.monitor.newest()
    assert newest is not None
    assert (newest.number, newest.site) == (1, "acorn")
    assert set(stage.state.hosts) == {"acorn"}
    assert stage.post(2) == 2
