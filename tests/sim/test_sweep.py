"""Every call on every door fails once, before or after its effect; then the same command is run again."""

from __future__ import annotations

import os
from collections import Counter
from functools import partial

import pytest

from resilience.model.fleet import Durability
from tests.sim.plans import PLANS
from tests.sim.stage import attempt
from tests.sim.sweep import How, breaks, broken, tried

DAY = int(os.environ.get("RESILIENCE_SWEEP_DAY") or 0)
"""Another day breaks other calls; `scripts/bench sweep` breaks each."""
AT_A_TIME = 16
DURABILITIES: tuple[Durability, ...] = ("async", "quorum")


@pytest.mark.parametrize("how", ["error", "killed"])
@pytest.mark.parametrize("name", PLANS)
def test_run_again_it_ends_well(name: str, how: How) -> None:
    """An error or a killed process at any call: the same command, run again, ends well, and no invariant broke."""
    swept, durability = PLANS[name], DURABILITIES[(DAY + (how == "killed")) % 2]
    all_of_them = list(breaks(swept, how, durability))
    every = max(1, len(all_of_them) // AT_A_TIME)
    chosen = all_of_them[DAY // 2 % every :: every]
    found = [tried(swept, planned, durability) for planned in chosen]
    assert len(found) >= AT_A_TIME
    assert how == "error" or all(one.stopped or one.planned.after for one in found)
    assert any(one.stopped for one in found)


def test_a_vendor_that_closes_in_the_middle() -> None:
    """A second vendor closes at any call: no invariant breaks, and once it is back, going on or a new plan ends well.

    Where it was the last DNS vendor, the failover ended by address: then `protect` leads users there.
    """
    said: Counter[str] = Counter()
    failover = PLANS["failover"]
    for planned in breaks(failover, "closed"):
        if planned.after or planned.door.startswith(("log", "signer", "outside")) or planned.door.endswith("outputs"):
            continue
        stage = failover.begin("async")
        why = broken(stage, failover, planned)
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
