"""The whole drill in memory: every fault, target and durability ends with a journal that can be judged."""

from __future__ import annotations

from itertools import product

import pytest

from resilience.engine.drill import FAULTS, Drill
from resilience.judge import judge
from tests.sim.drills import as_if_real, run

WAYS = [
    (fault, to, durability)
    for fault, to, durability in product(FAULTS, (None, "birch", "cedar"), ("async", "quorum"))
    if (fault, to) != ("correlated", "cedar")  # cedar is the vendor that leaves together with acorn
]


@pytest.mark.parametrize(("fault", "to", "durability"), WAYS)
def test_every_way_is_simulated_to_its_end(fault: str, to: str | None, durability: str) -> None:
    """A simulated drill is never a proof; what it shows is nevertheless within the promise."""
    events = run(Drill(fault=fault, to=to, durability=durability, seed=7, simulated=True))
    said = judge(events)
    assert said.verdict == "unknown"
    assert said.simulated
    verdict = judge(as_if_real(events))
    assert (verdict.verdict, verdict.why) == ("met", ())
    assert verdict.rto.measured_s
    assert verdict.blackhole.calls == 0
    assert verdict.fence.attempts
    if durability == "quorum":
        assert verdict.rpo.lost == 0


def test_in_async_the_loss_is_counted() -> None:
    """What no vault held yet when the host went away is lost, and is found to be lost."""
    verdict = judge(as_if_real(run(Drill(simulated=True))))
    assert verdict.rpo.lost
    assert verdict.rpo.measured_s is not None
    assert 0 < verdict.rpo.measured_s <= 2


def test_the_same_drill_tells_the_same() -> None:
    """Two simulated drills of one seed differ in nothing but secrets and real seconds."""
    one, two = (run(Drill(simulated=True, seed=7)) for _ in range(2))
    assert [(e.at, e.kind, e.data.get("id")) for e in one] == [(e.at, e.kind, e.data.get("id")) for e in two]
