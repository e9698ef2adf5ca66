"""A round of drills: every fault at home, every vendor, every pair, each once."""

from __future__ import annotations

from itertools import combinations

from resilience.decide.cases import full_round
from resilience.engine.drill import FAULTS
from resilience.simulation import simulated_fleet


def test_a_round_is_every_fault_every_vendor_and_every_pair() -> None:
    """Nothing is left out, nothing is there twice, and the order is always the same."""
    fleet = simulated_fleet()
    vendors = [vendor.name for vendor in fleet.vendors]
    cases = full_round(fleet)
    assert cases == full_round(fleet)
    assert len({case.name for case in cases}) == len(cases)
    assert {case.fault for case in cases} == set(FAULTS)
    assert {case.lost[0] for case in cases if len(case.lost) == 1} == set(vendors)
    assert {case.lost for case in cases if len(case.lost) > 1} == set(combinations(vendors, 2))
