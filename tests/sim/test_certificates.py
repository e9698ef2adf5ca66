"""Certificates through whole plans in memory: kept when a site comes up, kept again at the next, missed when none travels."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from resilience.decide import plan_failover
from resilience.engine.observe import observe, survey_after_loss
from resilience.errors import Refused
from resilience.model import AuthoritySpec, Certificate, Fleet
from resilience.ports import SealedCertificate
from resilience.replication import seals, travelling
from resilience.simulation import simulated_fleet
from tests.sim.stage import Stage

AUTHORITY = AuthoritySpec("one", "https://one.test/acme")


def with_authorities() -> Fleet:
    """The drill's fleet, with a name that is served by HTTPS."""
    fleet = simulated_fleet()
    return replace(fleet, names=replace(fleet.names, authorities=(AUTHORITY,)))


def trusted() -> Stage:
    """That, on its first day."""
    stage = Stage(with_authorities())
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


ENDED = SealedCertificate(Certificate("plaza.test", "CN=Old", 1.0, "ff"), b"sealed")


def of_earlier_versions(stage: Stage, sealed: SealedCertificate) -> bytes:
    """As it was put before its moment was signed."""
    body = json.loads(travelling.encode(sealed, 0, stage.world.signer.sign))
    del body["at_ms"], body["signature"]
    return seals.canonical(seals.sign_json(body, stage.world.signer.sign))


def issuer(stage: Stage) -> str:
    """Of what travels."""
    return observed(stage).issuer


def test_an_old_one_that_is_served_as_the_newest_stops_nothing() -> None:
    """Neither a failover nor a move: it is passed over, whoever signed it."""
    stage = trusted()
    for replayed in (
        of_earlier_versions(stage, ENDED),
        travelling.encode(ENDED, 1000, stage.world.signer.sign),
    ):
        stage.state.vaults["elm"].objects["tls/9999999999999.json"] = replayed
        assert issuer(stage) == "CN=Simulated"
    stage.operator.switchover("birch")
    assert stage.post(1) == 1


def test_up_goes_before_whatever_was_there() -> None:
    """One of earlier versions under the last name there is, and one that was signed while the operator's clock ran ahead."""
    ahead = 9_000_000_000_000
    for key, replayed in (
        ("tls/9999999999999.json", of_earlier_versions),
        (travelling.name(ahead), lambda stage, sealed: travelling.encode(sealed, ahead, stage.world.signer.sign)),
    ):
        stage = trusted()
        later = replace(ENDED, certificate=replace(ENDED.certificate, not_after=5e9))
        for vault in stage.state.vaults.values():
            for name in [name for name in vault.objects if name.startswith("tls/")]:
                del vault.objects[name]
            vault.objects[key] = replayed(stage, later)
        assert issuer(stage) == "CN=Old"
        stage.operator.up("acorn")
        assert issuer(stage) == "CN=Simulated"


def test_one_of_earlier_versions_is_put_anew_with_its_moment() -> None:
    """The same certificate: from then on no older one of theirs can be served in its place."""
    stage = trusted()
    for vault in stage.state.vaults.values():
        (key,) = (name for name in vault.objects if name.startswith("tls/"))
        vault.objects[key] = of_earlier_versions(stage, SealedCertificate(observed(stage), b"sealed"))
    stage.operator.snapshot()
    for vault in stage.state.vaults.values():
        assert len([name for name in vault.objects if name.startswith("tls/")]) == 2
        vault.objects["tls/9999999999999.json"] = of_earlier_versions(stage, ENDED)
    assert issuer(stage) == "CN=Simulated"
    stage.operator.snapshot()
    assert len([name for name in stage.state.vaults["elm"].objects if name.startswith("tls/")]) == 3


def observed(stage: Stage) -> Certificate:
    """What travels."""
    found = observe(stage.world, stage.fleet).certificate
    assert isinstance(found, tuple)
    return found[0]
