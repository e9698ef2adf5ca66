"""One failover by its seed: which fault, when, what breaks on the way; every acknowledged write is looked for."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from resilience.engine.execute import unfinished
from resilience.model.fleet import Durability
from resilience.simulation import SimulatedGround, SimulatedUsers
from tests.sim.plans import PLANS
from tests.sim.stage import Stage, attempt, day_one
from tests.sim.sweep import calls

FAULTS = ("terminate", "delete", "control-plane", "hijack", "bit-rot", "correlated")
COMPANIONS = ("birch", "cedar", "elm", "dover")
TRIES = 8
SERVED, STOPPED = "served", "stopped"


@dataclass(frozen=True)
class Ended:
    """What came of one seed."""

    seed: int
    fault: str
    lost: tuple[str, ...]
    outcome: str
    why: str
    acknowledged: int
    missing: int
    resumed: int
    called_dead: int


def fail_over(seed: int, durability: Durability = "quorum") -> Ended:
    """A fleet, users, a fault, up to three broken calls; the same command again until it ends well or says why not.

    Invariants are looked at after every call and raise AssertionError.
    """
    chance = random.Random(seed)
    fault = FAULTS[seed % len(FAULTS)]
    lost = ("acorn", chance.choice(COMPANIONS)) if fault == "correlated" else ("acorn",)
    stage = day_one(durability)
    stage.state.pace = chance.choice((0.0, 0.3, 1.0))
    stage.post(chance.randrange(5, 60))
    stage.state.pass_time(chance.uniform(0.0, 3.0))
    stage.post(chance.randrange(0, 10))
    _break_some(stage, chance, FAILOVER_CALLS)
    ground = SimulatedGround(stage.state, stage.fleet, SimulatedUsers(stage.state, stage.fleet))
    ground.inject(fault, lost, seed)
    stage.state.called_dead.clear()
    why, resumed = _insist(stage, chance, lost)
    served = why is None and unfinished(stage.world, "failover") is None
    missing = len(set(stage.state.acknowledged) - _rows(stage))
    by_plan = [call for call in stage.state.called_dead if call["from"] == "operator"]
    return Ended(
        seed, fault, lost, SERVED if served else STOPPED, why or "", len(stage.state.acknowledged), missing, resumed,
        len(by_plan),
    )  # fmt: skip


def _rows(stage: Stage) -> set[str]:
    """What the site that may write holds; where none was promoted yet, nothing was lost yet either."""
    newest = stage.monitor.newest()
    host = stage.state.hosts.get(newest.site) if newest else None
    opened = host is not None and newest is not None and host.promoted_under == newest.nonce
    return set(host.rows) if opened and host is not None else set(stage.state.acknowledged)


FAILOVER_CALLS: Mapping[str, int] = dict(calls(PLANS["failover"], "quorum"))


def _break_some(stage: Stage, chance: random.Random, called: Mapping[str, int]) -> None:
    """Up to three calls of the failover to come go wrong: before or after their effect, or the process dies."""
    for _ in range(chance.randrange(4)):
        door = chance.choice(sorted(called))
        how = chance.choice(("error", "killed"))
        stage.break_next(door, after=chance.random() < 0.5, how=how, call=chance.randint(1, called[door]))


def _insist(stage: Stage, chance: random.Random, lost: tuple[str, ...]) -> tuple[str | None, int]:
    """The command, again and again while users go on; what it ended with, and how often it was resumed."""
    why: str | None = None
    for number in range(TRIES):
        why = attempt(partial(stage.operator.failover, lost=lost[1:] if number == 0 else ()))
        stage.post(chance.randrange(4))
        if why is None:
            return None, number
        stage.state.pass_time(chance.uniform(0.0, 10.0))
    return why, TRIES
