"""Certificates through whole plans in memory: kept when a site comes up, kept again at the next, missed when none travels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resilience.decide import plan_failover
from resilience.engine.observe import observe, survey_after_loss
from resilience.errors import Refused
from resilience.model import AuthoritySpec
from resilience.simulation import simulated_fleet
from tests.sim.stage import Stage

AUTHORITY = AuthoritySpec("one", "https://one.test/acme")


def trusted() -> Stage:
    """A fleet whose name is served by HTTPS, on its first day."""
    fleet = simulated_fleet()
    stage = Stage(replace(fleet, names=replace(fleet.names, authorities=(AUTHORITY,))))
    stage.operator.up("acorn")
    return stage


def test_up_brings_the_certificate_into_every_vault_once() -> None:
    """All vaults hold it; going up again or taking a snapshot puts nothing more."""
    stage = trusted()
    stage.operator.up("acorn")
    found = observe(stage.world, stage.fleet).certificate
    assert isinstance(found, tuple)
    assert found[1] == tuple(stage.world.vaults)
    assert {len(vault.list("tls/")) for vault in stage.world.vaults.values()} == {1}


def test_a_failover_goes_on_with_what_travels() -> None:
    """No hazard, and a vault that lacked it has it afterwards."""
    stage = trusted()
    stage.state.lose("acorn")
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    plan = plan_failover(stage.fleet, survey, declared=dead)
    assert "no-certificate" not in {hazard.name for hazard in plan.hazards}
    [key] = stage.world.vaults["elm"].list("tls/")
    stage.world.vaults["elm"].delete(key)
    stage.operator.failover()
    assert stage.world.vaults["elm"].list("tls/") == [key]


def test_without_one_it_is_said_and_the_site_comes_back() -> None:
    """Accepted by name: an authority is asked once the name has moved, before users are waited for; a switchover is refused."""
    stage = trusted()
    for vault in stage.world.vaults.values():
        for key in vault.list("tls/"):
            vault.delete(key)
    with pytest.raises(Refused, match="no certificate"):
        stage.operator.switchover("birch")
    stage.state.lose("acorn")
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset())
    plan = plan_failover(stage.fleet, survey, declared=dead)
    assert "no-certificate" in {hazard.name for hazard in plan.hazards}
    actions = [step.action for step in plan.steps]
    assert actions.index("point") < actions.index("certify") < actions.index("confirm")
    stage.operator.failover()
    assert stage.post(1) == 1
