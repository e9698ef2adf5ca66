"""Every call on every door fails once, before or after its effect; then the same command is run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Literal

import pytest

from resilience.engine.execute import unfinished
from resilience.model.fleet import Durability
from resilience.simulation import Break
from tests.sim.stage import Stage, attempt, day_one

READS = (".get", ".list", ".read", ".is_open", ".addresses", ".outputs", ".state", ".facts", ".status", ".verify")
How = Literal["error", "killed", "closed"]


def lost(durability: Durability = "async") -> Stage:
    """A stage whose primary's vendor is gone."""
    stage = day_one(durability)
    stage.state.lose("acorn")
    return stage


def calls(durability: Durability = "async") -> Counter[str]:
    """How often one failover that goes well calls each door."""
    stage = lost(durability)
    before = Counter(stage.state.doors.calls)
    stage.operator.failover()
    return stage.state.doors.calls - before


def breaks(how: How, durability: Durability = "async") -> Iterator[Break]:
    """Each call of the failover, broken before its effect and, where it has one, after it.

    To be killed while reading is to be killed before the next effect, so that is swept with the effects.
    """
    for door, count in sorted(calls(durability).items()):
        reads = door.endswith(READS)
        if reads and how == "killed":
            continue
        for call in range(1, count + 1):
            for after in (False,) if reads else (False, True):
                yield Break(door, call, after=after, how=how)


def broken(planned: Break, durability: Durability = "async") -> tuple[Stage, str | None]:
    """A failover with one broken call; what the command ended with."""
    stage = lost(durability)
    stage.break_next(planned.door, after=planned.after, how=planned.how, call=planned.call)
    return stage, attempt(stage.operator.failover)


@pytest.mark.parametrize(("how", "durability"), [("error", "async"), ("killed", "quorum")])
def test_run_again_it_ends_well(how: How, durability: Durability) -> None:
    """An error or a killed process at any call: the same command, run again, ends well, and no invariant broke."""
    swept = stopped = 0
    for planned in breaks(how, durability):
        stage, said = broken(planned, durability)
        assert stage.state.doors.broken, planned
        if said is not None:
            assert attempt(stage.operator.failover) is None, (planned, said)
            stopped += 1
        assert unfinished(stage.world, "failover") is None, planned
        assert stage.post(2) == 2, planned
        swept += 1
    assert swept > 100
    assert stopped > 50


def test_a_vendor_that_closes_in_the_middle() -> None:
    """A second vendor closes at any call: no invariant breaks, and once it is back, going on or a new plan ends well."""
    said: Counter[str] = Counter()
    for planned in breaks("closed"):
        if planned.after or planned.door.startswith(("log", "signer", "outside")) or planned.door.endswith("outputs"):
            continue
        stage, why = broken(planned)
        said[(why or "ended well").split(":")[0]] += 1
        for vendor in stage.state.dead - {"acorn"}:
            stage.state.revive(vendor)
        stage.state.pass_time(1.0)
        if why is not None:
            anew = partial(stage.operator.failover, anew=True)
            assert attempt(stage.operator.failover) is None or attempt(anew) is None, (planned, why)
        assert stage.post(2) == 2, (planned, why)
    assert set(said) == {"ended well", "TooFewVaults", "VendorClosed", "ResilienceError"}
