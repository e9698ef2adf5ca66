"""A rehearsal seals a real epoch below a name of its own: a vault's vendor that keeps its bytes can end nobody with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import ValidationError

from resilience.adapters.host_config import HostConfig
from resilience.adapters.kit import Kit
from resilience.adapters.memory_vault import MemoryVault
from resilience.config import parse
from resilience.decide import rehearsal_fleet
from resilience.engine.run import Run
from resilience.engine.steps.decide import seal
from resilience.errors import VaultError
from resilience.lab import fleetfile
from resilience.lab import kit as lab_kit
from resilience.model import EpochRecord, Fleet, Phase, Plan, Step
from resilience.ports import World
from resilience.replication import chunk, layout, seals
from resilience.replication import epoch as epochs
from resilience.replication.beneath import Beneath
from resilience.replication.config import Config
from resilience.replication.forward import Forward
from resilience.replication.lease import Lease
from resilience.replication.trace import Leg
from resilience.simulation import SimLog
from resilience.simulation.state import State
from resilience.wire import Home, real_world

SET = ("birch", "cedar", "elm")
KEPT = "rehearsal/r1/"
WRITTEN = 500
REHEARSED_FROM = 300
"""A rehearsal restores what the vaults held by then; the primary writes on."""


@dataclass(frozen=True)
class Stage:
    """A fleet whose primary writes under epoch 1, and what a rehearsal of it sealed."""

    home: Home
    fleet: Fleet
    kit: Kit
    vaults: dict[str, MemoryVault]
    production: World
    rehearsed: Fleet
    rehearsing: World
    first: EpochRecord
    sealed: EpochRecord

    def replayed(self, *keys: str) -> MemoryVault:
        """Elm, whose vendor serves what the rehearsal put there as if it were the fleet's."""
        for key in keys:
            kept = self.vaults["elm"].get(KEPT + key)
            assert kept is not None
            self.vaults["elm"].put_new(key, kept)
        return self.vaults["elm"]

    def opened(self) -> tuple[str, ...]:
        """What the rehearsal's restore and ship put, as its host signs it; the names of all that it put."""
        sign = seals.signer(self.key("birch-rehearsal", 2))
        opening = chunk.Opening(2, self.sealed.nonce, 1, REHEARSED_FROM, REHEARSED_FROM, 1, "7", 1.0)
        start = chunk.Start(2, self.sealed.nonce, REHEARSED_FROM, 2, "7", "", 1.0)
        beneath = Beneath(self.vaults["elm"], KEPT)
        beneath.put_new(layout.opening(2), chunk.encode_opening(opening, sign))
        beneath.put_new(layout.first(2), chunk.encode_start(start, sign))
        return layout.epoch(2), layout.sealed(2), layout.opening(2), layout.first(2)

    def key(self, site: str, number: int) -> Any:
        """What the site signs with."""
        return load_pem_private_key(self.kit.site_key(site, number).read_bytes(), None)


def _sealing(fleet: Fleet, site: str, number: int) -> tuple[Plan, Step]:
    args = {"number": number, "vaults": list(SET), "k": 2, "s": 2}
    step = Step(f"{Phase.DECIDE}.seal.{site}", "seal", site, Phase.DECIDE, "It may write.", args)
    return Plan("failover", fleet.name, "acorn", site, (step,), (), ()), step


def _sealed(world: World, fleet: Fleet, site: str, number: int) -> EpochRecord:
    plan, step = _sealing(fleet, site, number)
    seal(Run(world, fleet, plan), step)
    newest = epochs.newest_of(world.vaults, world.signer.verify)
    assert newest is not None
    assert (newest.number, newest.site) == (number, site)
    return newest


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """As `resilience rehearse` has its World: made from the fleet's own kit, with its vaults below a name."""
    lab_kit.make(tmp_path / "kit")
    (tmp_path / "fleet.toml").write_text(fleetfile.text())
    fleet = parse(fleetfile.text())
    fleet = replace(fleet, lab=False, sites=tuple(site for site in fleet.sites if not site.addresses))
    rehearsed = rehearsal_fleet(fleet, "birch", "r1", "acorn")
    home, vaults = Home(tmp_path / "fleet.toml"), {name: MemoryVault(name) for name in SET}
    beneath = {name: Beneath(vault, KEPT) for name, vault in vaults.items()}
    log, beside = SimLog(State()), SimLog(State())
    with real_world(home, fleet, log) as (mine, _), real_world(home, rehearsed, beside) as (its, _):
        production, rehearsing = replace(mine, vaults=vaults), replace(its, vaults=beneath)
        first = _sealed(production, fleet, "acorn", 1)
        second = _sealed(rehearsing, rehearsed, "birch-rehearsal", 2)
        kit = Kit(tmp_path / "kit")
        yield Stage(home, fleet, kit, vaults, production, rehearsed, rehearsing, first, second)


def hosts(stage: Stage, world: World) -> HostConfig:
    """What hosts of this World's fleet are told."""
    told = world.plane.config  # type: ignore[attr-defined]
    assert isinstance(told, HostConfig)
    return replace(told, vaults=world.vaults)


def test_a_rehearsals_epoch_ends_no_primary(stage: Stage) -> None:
    """One vault serves it as the epoch after the primary's: that vault is in error, and the primary writes on."""
    acorn = Config.model_validate(hosts(stage, stage.production).ship(stage.fleet.site("acorn"), stage.first))
    lease = Lease(acorn.record, acorn.verify, 5.0)
    elm = stage.replayed(layout.epoch(2), layout.sealed(2))
    with pytest.raises(VaultError, match="did not sign"):
        lease.look(elm)
    assert lease.superseded is None
    assert lease.look(stage.vaults["birch"])
    assert lease.look(stage.vaults["cedar"])


def test_nor_does_the_operator_plan_by_it(stage: Stage) -> None:
    """The newest epoch is the primary's, told by the other vaults."""
    stage.replayed(layout.epoch(2), layout.sealed(2))
    assert epochs.newest_of(stage.vaults, stage.production.signer.verify) == stage.first
    assert epochs.to_fence(stage.vaults, 1, stage.production.signer.verify) == [epochs.Older(stage.first, 2)]


def test_a_rehearsals_opening_cuts_no_standby(stage: Stage) -> None:
    """What it says of where the history ends is about the rehearsal alone: a standby that is past it goes on."""
    told = hosts(stage, stage.production).follower(stage.fleet.site("birch"), stage.first)
    config = Config.model_validate({**told, "site": "birch"})
    forward = Forward(config, stage.vaults)
    leg = Leg(stage.first, chunk.Start(1, stage.first.nonce, 0, 1, "7", "", 0.0), WRITTEN, None, {})
    stage.replayed(*stage.opened())
    forward.look()
    assert forward.newest == stage.first
    assert forward.after(leg) == (None, None)


def test_nothing_the_operator_signs_in_a_rehearsal_is_the_fleets(stage: Stage) -> None:
    """Whatever kind of object it is, and in every other rehearsal too; the rehearsal believes the fleet, and itself."""
    said = seals.canonical({"format": "resilience-order/1", "reference": "r"})
    theirs, ours = stage.rehearsing.signer.sign(said), stage.production.signer.sign(said)
    another = rehearsal_fleet(stage.fleet, "birch", "r2", "acorn")
    with real_world(stage.home, another, SimLog(State())) as (world, _):
        assert not world.signer.verify(said, theirs)
        assert world.signer.verify(said, ours)
    assert not stage.production.signer.verify(said, theirs)
    assert stage.rehearsing.signer.verify(said, theirs)
    assert stage.rehearsing.signer.verify(said, ours)


def test_a_rehearsals_own_host_believes_it(stage: Stage) -> None:
    """Its configuration says for which rehearsal it is, also where it names no vault; the fleet's epochs are read as well."""
    told, site = hosts(stage, stage.rehearsing), stage.rehearsed.site("birch-rehearsal")
    for config in (told.ship(site, stage.sealed), told.reader(site, stage.sealed), told.bare(site, stage.sealed)):
        host = Config.model_validate(config)
        assert [parent.record() for parent in host.parent_epochs] == [stage.first]
    lease = Lease(host.record, host.verify, 5.0)
    assert all(lease.look(vault) for vault in stage.rehearsing.vaults.values())
    assert epochs.read(stage.rehearsing.vaults["elm"], 1, host.verify) == stage.first
    stage.opened()
    assert epochs.settled_of(epochs.get_from(stage.rehearsing.vaults), [stage.sealed, stage.first], host.verify)


def test_its_app_signs_for_the_rehearsal_too(stage: Stage) -> None:
    """What that app adds to the ledger, with the fleet's own key, is signed as what the operator signs there."""

    def lines(world: World, site: str, epoch: EpochRecord) -> list[str]:
        told = hosts(stage, world)
        [app] = [f.content for f in told.keys(told.fleet.site(site), epoch) if f.path.endswith("app.env")]
        return app.splitlines()

    its, fleets = (
        lines(stage.rehearsing, "birch-rehearsal", stage.sealed),
        lines(stage.production, "acorn", stage.first),
    )
    assert set(its) - set(fleets) == {"SENDS=off", f"LEDGER_PREFIX={KEPT}"}
    assert set(fleets) <= set(its)


@pytest.mark.parametrize("change", [{"rehearsal": ""}, {"rehearsal": "r2"}])
def test_no_other_host_believes_it(stage: Stage, change: dict[str, str]) -> None:
    """A configuration that says nothing of a rehearsal, or names another one, and this one's epoch."""
    told, site = hosts(stage, stage.rehearsing), stage.rehearsed.site("birch-rehearsal")
    with pytest.raises(ValidationError, match="does not carry the operator's signature"):
        Config.model_validate({**told.bare(site, stage.sealed), **change})


def test_a_host_puts_where_its_configuration_says_that_it_belongs(stage: Stage) -> None:
    """A rehearsal's host whose vault is not below its name would write over the fleet; and the other way round."""
    told, site = hosts(stage, stage.rehearsing), stage.rehearsed.site("birch-rehearsal")
    astray = json.loads(json.dumps(told.reader(site, stage.sealed)))
    astray["vaults"][0]["beneath"] = ""
    with pytest.raises(ValidationError, match="beneath"):
        Config.model_validate(astray)
    acorn = json.loads(json.dumps(hosts(stage, stage.production).ship(stage.fleet.site("acorn"), stage.first)))
    acorn["vaults"][0]["beneath"] = KEPT
    with pytest.raises(ValidationError, match="beneath"):
        Config.model_validate(acorn)
