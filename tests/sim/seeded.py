"""One failover by its seed: which fleet, which fault, when, what breaks on the way; every acknowledged write is looked for."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from resilience.decide import with_companions
from resilience.engine.execute import unfinished
from resilience.model import Fleet
from resilience.simulation import SimulatedGround, SimulatedUsers
from resilience.simulation.state import Host
from tests.sim.fleets import drawn, first_day, traits
from tests.sim.stage import Stage, attempt

FAULTS = ("terminate", "delete", "control-plane", "hijack", "bit-rot", "correlated")
COMPANIONS = ("birch", "cedar", "elm", "dover")
TRIES = 8
SERVED, STOPPED = "served", "stopped"


@dataclass(frozen=True)
class Ended:
    """What came of one seed."""

    seed: int
    fleet: tuple[str, ...]
    fault: str
    lost: tuple[str, ...]
    outcome: str
    why: str
    acknowledged: int
    missing: int
    """Writes that k vaults held and the site that may write lacks; in quorum that is every acknowledged one."""
    async_lost: int
    """Acknowledged before any vault held them, by the fleet's own word."""
    pictures_lost: int
    """Rows that show, at a site that serves, and whose picture was still being uploaded: it is in no vault."""
    pictures_told: int
    """How many of those the journal says are missing."""
    resumed: int
    called_dead: int
    """Calls of the plan to a lost vendor; a survey has to ask before it can know that a companion's vault is one."""


def fail_over(seed: int) -> Ended:
    """A fleet, users, a fault, up to three broken calls; the same command again until it ends well or says why not.

    Invariants are looked at after every call and raise AssertionError.
    """
    chance = random.Random(seed)
    fleet, fault = drawn(chance), FAULTS[seed % len(FAULTS)]
    lost = ("acorn", chance.choice(COMPANIONS)) if fault == "correlated" else ("acorn",)
    stage = first_day(fleet)
    stage.state.pace = chance.choice((0.0, 0.3, 1.0))
    stage.post(chance.randrange(5, 60))
    stage.state.pass_time(chance.uniform(0.0, 3.0))
    stage.post(chance.randrange(0, 10))
    _upload(stage, random.Random(f"pictures {seed}"))
    _break_some(stage, chance, _called(fleet, fault, lost, seed))
    _inject(stage, fault, lost, seed)
    why, resumed = _insist(stage, chance, lost)
    stage.state.doors.breaks.clear()
    served = why is None and unfinished(stage.world, "failover") is None
    rows, acknowledged = _rows(stage), set(stage.state.acknowledged)
    promised = acknowledged if fleet.replication.durability == "quorum" else stage.state.confirmed
    by_plan = [call for call in stage.state.called_dead if _begun(stage) and call["from"] == "operator"]
    return Ended(
        seed=seed,
        fleet=traits(fleet),
        fault=fault,
        lost=lost,
        outcome=SERVED if served else STOPPED,
        why=why or "",
        acknowledged=len(acknowledged),
        missing=len(promised - rows),
        async_lost=len(acknowledged - promised - rows),
        pictures_lost=len(_lost_pictures(stage)) if served else 0,
        pictures_told=_told_missing(stage) if served else 0,
        resumed=resumed,
        called_dead=len(by_plan),
    )


def _upload(stage: Stage, chance: random.Random) -> None:
    """In every other story the last pictures are still being uploaded when the day comes; mostly their rows are shipped."""
    if chance.random() < 0.5:
        stage.state.hosts["acorn"].slow = {*stage.state.vaults}
        stage.post(chance.randrange(3))
        stage.state.pass_time(chance.uniform(0.0, 1.0))


def _lost_pictures(stage: Stage) -> set[str]:
    newest = stage.monitor.newest()
    host = stage.state.hosts[newest.site] if newest else Host()
    return set(host.rows) - host.hidden - host.pictures


def _told_missing(stage: Stage) -> int:
    return next((e.data["missing"] for e in reversed(stage.world.log.read()) if e.kind == "media-checked"), 0)


def _begun(stage: Stage) -> bool:
    """Whether a failover was approved, so that the same command goes on with it."""
    return any(event.kind == "plan" and event.data["plan"]["kind"] == "failover" for event in stage.state.events)


def _inject(stage: Stage, fault: str, lost: tuple[str, ...], seed: int) -> None:
    """The day it happens; who is expected to leave on the same day does."""
    ground = SimulatedGround(stage.state, stage.fleet, SimulatedUsers(stage.state, stage.fleet))
    ground.inject(fault, sorted(with_companions(stage.fleet, frozenset(lost))), seed)
    stage.state.called_dead.clear()


def _rows(stage: Stage) -> set[str]:
    """What the site that may write holds; where none was promoted yet, nothing was lost yet either."""
    newest = stage.monitor.newest()
    host = stage.state.hosts.get(newest.site) if newest else None
    opened = host is not None and newest is not None and host.promoted_under == newest.nonce
    return set(host.rows) if opened and host is not None else set(stage.state.acknowledged) | stage.state.confirmed


def _called(fleet: Fleet, fault: str, lost: tuple[str, ...], seed: int) -> Mapping[str, int]:
    """How often each door is called by this fleet's failover where nothing breaks."""
    stage = first_day(fleet)
    _inject(stage, fault, lost, seed)
    before = Counter(stage.state.doors.calls)
    attempt(partial(stage.operator.failover, lost=lost[1:]))
    return stage.state.doors.calls - before


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
        why = attempt(partial(stage.operator.failover, lost=() if _begun(stage) else lost[1:]))
        stage.post(chance.randrange(4))
        if why is None:
            return None, number
        stage.state.pass_time(chance.uniform(0.0, 10.0))
    return why, TRIES
