"""Observe: what does not answer is Unknown and says why; who was declared lost is not called."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from resilience.adapters.memory_vault import MemoryVault
from resilience.engine.observe import observe, read, survey_after_loss, unfilled
from resilience.errors import ResilienceError, VaultSilent, VendorClosed
from resilience.model import EpochRecord, Fleet, Unknown, known, newest_first
from resilience.ports import World
from resilience.render.text import survey_text
from resilience.replication import patient
from tests.sim.stage import Stage, begun, day_one, fleet_with
from tests.sim.test_stopped import stopped


def doors_of(stage: Stage, before: dict[str, int], vendor: str) -> list[str]:
    """Doors of a vendor, or of what stands there, that were called since."""
    calls = stage.state.doors.calls
    return [d for d in calls if d.split(".")[1:2] == [vendor] and calls[d] > before.get(d, 0)]


class Hanging(MemoryVault):
    """A vault that takes every question and answers none; its client gives each up after a while."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.over = threading.Event()
        self.questions: list[str] = []

    def get(self, key: str) -> bytes | None:
        """Nothing, for long."""
        self.questions.append(key)
        self.over.wait(2 * patient.PATIENCE)
        raise VaultSilent(f"{self.name} could not get {key}", "No answer came.", "Look.")

    def exists(self, key: str) -> bool:
        """The same."""
        return self.get(key) is not None

    def list(self, prefix: str) -> list[str]:
        """The same."""
        return [str(self.get(prefix))]


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    """The vault at elm hangs, and patience is short."""
    monkeypatch.setattr(patient, "PATIENCE", 1.0)
    found = Hanging("elm")
    yield found
    found.over.set()


def test_all_is_well() -> None:
    """Everything that runs is seen: epoch, serving site, addresses, open accounts."""
    stage = day_one()
    survey = observe(stage.world, stage.fleet)
    assert all(reading is True for reading in survey.accounts.values())
    for vault in survey.vaults.values():
        assert isinstance(vault.epoch, EpochRecord)
        assert vault.epoch.site == "acorn"
        assert vault.ledger == 2
    assert survey.sites["acorn"].serving is True
    ship = known(survey.sites["acorn"].ship)
    assert ship is not None
    assert ship["epoch"] == 1
    assert survey.sites["birch"].outputs is None
    assert survey.zones["dover"].addresses == ("198.18.1.100",)


def test_a_disk_that_waits_for_its_key_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a boot a site with such a disk does not serve; the status names what brings it back."""
    stage = day_one()
    stage.state.hosts["acorn"].serving = False
    sites = tuple(replace(site, disk_key=True) for site in stage.fleet.sites)
    fleet = replace(stage.fleet, sites=sites)
    assert not observe(stage.world, fleet).sites["acorn"].locked
    monkeypatch.setattr(type(stage.world.plane), "locked", lambda *_: True)
    survey = observe(stage.world, fleet)
    assert survey.sites["acorn"].locked
    assert "resilience up acorn" in survey_text(fleet, survey)
    assert not observe(stage.world, stage.fleet).sites["acorn"].locked


def test_a_closed_vendor_says_its_own_word() -> None:
    """The reason names the vendor and the code it answers with."""
    stage = day_one()
    stage.state.lose("elm")
    survey = observe(stage.world, stage.fleet)
    assert survey.accounts["elm"] is False
    assert survey.vaults["elm"].epoch == Unknown("elm answers as for a closed account: Blocked")


@pytest.mark.parametrize(
    "door",
    ["vault.elm.list", "account.cedar.is_open", "zone.dover.addresses", "app.acorn.serving", "plane.acorn.status"],
)
def test_a_door_that_breaks_is_unknown(door: str) -> None:
    """One reading is missing, with its reason, and all others are there."""
    stage = day_one()
    stage.break_next(door)
    survey = observe(stage.world, stage.fleet)
    readings = [
        *survey.accounts.values(),
        *(r for v in survey.vaults.values() for r in (v.epoch, v.snapshot, v.ledger)),
        *(r for name, s in survey.sites.items() if name == "acorn" for r in (s.outputs, s.serving, s.ship)),
        *(z.addresses for z in survey.zones.values()),
    ]
    whys = [r.why for r in readings if isinstance(r, Unknown)]
    assert [w for w in whys if door in w]
    assert len(whys) <= 2


@pytest.mark.parametrize("vendor", ["acorn", "birch", "cedar", "dover", "elm"])
def test_who_is_declared_lost_is_never_called(vendor: str) -> None:
    """No door of that vendor is touched; each of its readings says that it was not asked."""
    stage = day_one()
    stage.state.lose(vendor)
    before = dict(stage.state.doors.calls)
    survey = observe(stage.world, stage.fleet, frozenset({vendor}))
    assert [d for d in doors_of(stage, before, vendor) if not d.startswith("cloud")] == []
    assert stage.state.called_dead == []
    assert survey.accounts[vendor] == Unknown("declared lost: not asked")


def test_after_a_loss_the_primary_s_vendor_is_not_called() -> None:
    """Nor are its companions: a plan is made without one call to them."""
    stage = day_one(acorn=("elm",))
    stage.state.lose("acorn")
    before = dict(stage.state.doors.calls)
    survey, skipped = survey_after_loss(stage.world, stage.fleet, frozenset({"acorn"}))
    assert skipped == {"acorn", "elm"}
    assert isinstance(survey.accounts["acorn"], Unknown)
    assert doors_of(stage, before, "elm") == []


def test_the_primary_is_found_in_the_vaults() -> None:
    """Nobody has to say which vendor the primary is at: the newest epoch does."""
    stage = day_one()
    stage.state.lose("acorn")
    before = dict(stage.state.doors.calls)
    survey, skipped = survey_after_loss(stage.world, stage.fleet, frozenset({"dover"}))
    assert skipped == {"acorn", "dover"}
    assert survey.zones["dover"].addresses == Unknown("declared lost: not asked")
    assert [d for d in doors_of(stage, before, "acorn") if not d.startswith("cloud")] == []


SURVEYS: dict[str, Callable[[World, Fleet], object]] = {
    "status": observe,
    "after a loss": lambda world, fleet: survey_after_loss(world, fleet, frozenset({"acorn"})),
    "unfilled": unfilled,
}


@pytest.mark.parametrize("way", SURVEYS)
def test_a_vault_that_hangs_is_waited_for_once(hanging: Hanging, way: str) -> None:
    """Also where a move stopped after its seal, and what came before it is looked for: whatever is asked next, it is left alone."""
    stage = stopped(begun(fleet_with("async")), "plane.acorn.stand_down")
    SURVEYS[way](replace(stage.world, vaults={**stage.world.vaults, "elm": hanging}), stage.fleet)
    assert hanging.questions == ["epoch/"]


def test_a_vault_that_hangs_hides_nothing_that_others_tell(hanging: Hanging) -> None:
    """It is told as one that gives nothing; the site that was left behind is found all the same."""
    stage = stopped(begun(fleet_with("async")), "plane.acorn.stand_down")
    world = replace(stage.world, vaults={**stage.world.vaults, "elm": hanging})
    survey, _ = survey_after_loss(world, stage.fleet, frozenset({"acorn"}))
    assert survey.left_behind == "acorn"
    assert survey.vaults["elm"].epoch == Unknown("elm gives nothing and is not asked now.")
    assert not isinstance(survey.vaults["cedar"].epoch, Unknown)
    assert newest_first(survey.epochs)[0] == stage.monitor.newest()


def test_read_gives_the_answer_or_the_reason() -> None:
    """An error becomes Unknown with what happened; what is no error of ours goes on its way."""

    def closed() -> int:
        raise VendorClosed("acorn", "AccountSuspended")

    def broken() -> int:
        raise ResilienceError("It broke.", "So it was.", "Look.")

    def mistaken() -> int:
        raise ZeroDivisionError

    assert read(lambda: 3) == 3
    assert read(closed) == Unknown("acorn answers as for a closed account: AccountSuspended")
    assert read(broken) == Unknown("It broke.")
    with pytest.raises(ZeroDivisionError):
        read(mistaken)
