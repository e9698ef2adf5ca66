"""Every call on every door fails once, before or after its effect; then the same command is run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Literal

import pytest

from resilience.engine.execute import unfinished
from resilience.model.fleet import Durability
from resilience.simulation import Break
from resilience.simulation.app import SimOutside
from tests.sim.stage import Operator, Stage, attempt, day_one

READS = (".get", ".list", ".read", ".is_open", ".addresses", ".outputs", ".state", ".facts", ".status", ".verify")
How = Literal["error", "killed", "closed"]


@dataclass(frozen=True)
class Swept:
    """A command, from where it starts, and the plan that it goes on with when run again."""

    kind: str
    begin: Callable[[Durability], Stage]
    command: Callable[[Operator], None]
    every: int = 1
    """Each n-th call is broken: a failover's are all swept, the others' steps are mostly the same."""


def lost(durability: Durability = "async") -> Stage:
    """A stage whose primary's vendor is gone."""
    stage = day_one(durability)
    stage.state.lose("acorn")
    return stage


def stood_by(durability: Durability = "async") -> Stage:
    """A stage that runs, with birch following."""
    stage = day_one(durability)
    sites = tuple(replace(site, standby="hot") if site.name == "birch" else site for site in stage.fleet.sites)
    stage.fleet = replace(stage.fleet, sites=sites)
    stage.operator.up("birch")
    return stage


def lost_with_a_standby(durability: Durability = "async") -> Stage:
    """That, and the primary's vendor is gone."""
    stage = stood_by(durability)
    stage.state.lose("acorn")
    return stage


def relented(durability: Durability = "async") -> Stage:
    """A stage that failed over to birch, and whose first vendor lets us in again."""
    stage = lost(durability)
    stage.operator.failover()
    stage.post(5)
    stage.state.revive("acorn")
    stage.state.pass_time(40.0)
    return stage


def elm_lost(durability: Durability = "async") -> Stage:
    """A stage that runs on and lost a vault, with a hot standby declared."""
    stage = day_one(durability)
    sites = tuple(replace(site, standby="hot") if site.name == "birch" else site for site in stage.fleet.sites)
    stage.fleet = replace(stage.fleet, sites=sites)
    stage.state.lose("elm")
    return stage


FAILOVER = Swept("failover", lost, Operator.failover)
TO_A_STANDBY = Swept("failover", lost_with_a_standby, Operator.failover, every=4)
SWITCHOVER = Swept("switchover", stood_by, Operator.switchover, every=3)
COMING_HOME = Swept("switchover", relented, partial(Operator.switchover, to="acorn"), every=3)
VAULT_LOST = Swept("protect", elm_lost, partial(Operator.protect, lost=("elm",)))
UP_AGAIN = Swept("up", day_one, partial(Operator.up, site="acorn"), every=3)


def calls(swept: Swept, durability: Durability = "async") -> Counter[str]:
    """How often one command that goes well calls each door."""
    stage = swept.begin(durability)
    before = Counter(stage.state.doors.calls)
    swept.command(stage.operator)
    return stage.state.doors.calls - before


def breaks(swept: Swept, how: How, durability: Durability = "async") -> Iterator[Break]:
    """Each call of the command, broken before its effect and, where it has one, after it.

    To be killed while reading is to be killed before the next effect, so that is swept with the effects.
    """
    for door, count in sorted(calls(swept, durability).items()):
        reads = door.endswith(READS)
        if reads and how == "killed":
            continue
        for call in range(1, count + 1):
            for after in (False,) if reads else (False, True):
                yield Break(door, call, after=after, how=how)


def broken(swept: Swept, planned: Break, durability: Durability = "async") -> tuple[Stage, str | None]:
    """The command with one broken call; what it ended with."""
    stage = swept.begin(durability)
    stage.break_next(planned.door, after=planned.after, how=planned.how, call=planned.call)
    return stage, attempt(partial(swept.command, stage.operator))


@pytest.mark.parametrize(
    ("swept", "how", "durability"),
    [
        (FAILOVER, "error", "async"),
        (FAILOVER, "killed", "quorum"),
        (TO_A_STANDBY, "error", "async"),
        (SWITCHOVER, "error", "quorum"),
        (COMING_HOME, "killed", "async"),
        (VAULT_LOST, "error", "async"),
        (VAULT_LOST, "killed", "quorum"),
        (UP_AGAIN, "error", "async"),
    ],
    ids=lambda value: value.kind if isinstance(value, Swept) else value,
)
def test_run_again_it_ends_well(swept: Swept, how: How, durability: Durability) -> None:
    """An error or a killed process at any call: the same command, run again, ends well, and no invariant broke."""
    done = stopped = 0
    begun = finished(swept.begin(durability))
    for planned in islice(breaks(swept, how, durability), 0, None, swept.every):
        stage, said = broken(swept, planned, durability)
        assert stage.state.doors.broken, planned
        if said is not None and finished(stage) == begun:
            assert attempt(partial(swept.command, stage.operator)) is None, (planned, said)
            stopped += 1
        assert unfinished(stage.world, swept.kind) is None, planned
        assert stage.post(2) == 2, planned
        assert swept.kind == "failover" or set(stage.state.acknowledged) <= rows_by_name(stage), planned
        done += 1
    assert done > 40
    assert stopped > 20


def finished(stage: Stage) -> int:
    """How many plans ran to their end."""
    return sum(event.kind == "finished" for event in stage.state.events)


def rows_by_name(stage: Stage) -> set[str]:
    """What the site has that the name leads to: after anything but a loss, all that was ever acknowledged."""
    host = SimOutside(stage.state, stage.fleet).reached()
    return set(host.rows) if host else set()


def test_a_vendor_that_closes_in_the_middle() -> None:
    """A second vendor closes at any call: no invariant breaks, and once it is back, going on or a new plan ends well.

    Where it was the last DNS vendor, the failover ended by address: then `protect` leads users there.
    """
    said: Counter[str] = Counter()
    for planned in breaks(FAILOVER, "closed"):
        if planned.after or planned.door.startswith(("log", "signer", "outside")) or planned.door.endswith("outputs"):
            continue
        stage, why = broken(FAILOVER, planned)
        said[(why or "ended well").split(":")[0]] += 1
        for vendor in stage.state.dead - {"acorn"}:
            stage.state.revive(vendor)
        stage.state.pass_time(1.0)
        if why is not None:
            anew = partial(stage.operator.failover, anew=True)
            assert attempt(stage.operator.failover) is None or attempt(anew) is None, (planned, why)
        if any(event.kind == "name-stays" for event in stage.state.events):
            assert attempt(partial(stage.operator.protect, ("acorn",))) is None, (planned, why)
        assert stage.post(2) == 2, (planned, why)
    assert set(said) == {"ended well", "TooFewVaults", "VendorClosed", "ResilienceError"}
