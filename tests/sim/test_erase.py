"""Erasing in the in-memory World: what the ledger says is gone leaves every vault; what a row names stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from resilience.engine.erase import DAY, HAZARD, erase
from resilience.errors import Refused, ResilienceError, VaultError
from resilience.model import Fleet, SiteOutputs
from resilience.replication import layout
from resilience.simulation.app import SimApp
from resilience.simulation.vault import SimVault
from tests.sim.stage import Stage, day_one


def later(stage: Stage) -> None:
    """The days have passed after which an entry counts; nobody needs to live through them."""
    stage.state.ms += round(stage.fleet.replication.erase_after_days * DAY * 1000) + 1000
    stage.state.pass_time(1.0)


def holds(stage: Stage, row: str) -> set[str]:
    """Vaults that show this picture."""
    return {name for name, vault in stage.world.vaults.items() if layout.media(row) in vault.list(layout.MEDIA)}


@pytest.fixture
def stage() -> Stage:
    """Users posted at acorn, and two posts were taken down; every vault has all pictures."""
    found = day_one()
    found.state.pass_time(5.0)
    assert len(holds(found, "post3")) >= 3
    return found


def test_what_was_taken_down_leaves_every_vault(stage: Stage) -> None:
    """First it is only told; with the word it goes, in every vault, and everything else stays."""
    erase(stage.world, stage.fleet, really=False)
    later(stage)
    told = erase(stage.world, stage.fleet, really=False)
    assert {facts["would_erase"] for facts in told["vaults"].values()} == {2}
    assert holds(stage, "post3")
    done = erase(stage.world, stage.fleet, really=True)
    assert {(f["erased"], f["refused"]) for f in done["vaults"].values()} == {(2, 0)}
    assert holds(stage, "post3") | holds(stage, "post4") == set()
    assert len(holds(stage, "post5")) >= 3
    again = erase(stage.world, stage.fleet, really=True)
    assert {facts["erased"] for facts in again["vaults"].values()} == {0}


def test_an_entry_counts_only_days_after_it_was_seen_here(stage: Stage) -> None:
    """Whoever forges an entry can date it as he likes: the operator's own first sight of it is what counts."""
    done = erase(stage.world, stage.fleet, really=True)
    assert (done["through"], done["waiting"]) == (0, 2)
    later(stage)
    stage.take_down("acorn", "post6")
    stage.state.pass_time(1.0)
    done = erase(stage.world, stage.fleet, really=True)
    assert (done["through"], done["waiting"]) == (2, 1)
    assert holds(stage, "post6")
    assert not holds(stage, "post3")


@dataclass
class Naming:
    """An app in which somebody else's post names the same picture, from the n-th question on."""

    inner: SimApp
    row: str
    begins: int
    asked: int = 0

    def serving(self, outputs: SiteOutputs) -> bool:
        """As it is."""
        return self.inner.serving(outputs)

    def still_named(self, outputs: SiteOutputs, pictures: Sequence[str]) -> frozenset[str]:
        """What is named anyway, and the one."""
        self.asked += 1
        named = self.inner.still_named(outputs, pictures)
        return named | ({self.row} & set(pictures) if self.asked >= self.begins else set())

    def ship_again(self, outputs: SiteOutputs, pictures: Sequence[str]) -> int:
        """As it is."""
        return self.inner.ship_again(outputs, pictures)


def test_what_a_row_names_stays_and_is_shipped_again(stage: Stage) -> None:
    """A picture that somebody else posted too is in every vault afterwards, also where it was lacking."""
    erase(stage.world, stage.fleet, really=False)
    later(stage)
    app: Any = Naming(stage.world.app, "post3", begins=1)  # type: ignore[arg-type]
    stage.state.vaults["cedar"].pictures.discard("post3")
    done = erase(replace(stage.world, app=app), stage.fleet, really=True)
    assert (done["named"], done["put_back"]) == (1, 1)
    stage.state.pass_time(1.0)
    assert {"birch", "cedar", "elm"} <= holds(stage, "post3")
    assert not holds(stage, "post4")


def test_whoever_posts_it_meanwhile_finds_it_shipped_again(stage: Stage) -> None:
    """Between the first look at the rows and the last erased object somebody names the picture: it is put back."""
    erase(stage.world, stage.fleet, really=False)
    later(stage)
    app: Any = Naming(stage.world.app, "post3", begins=2)  # type: ignore[arg-type]
    done = erase(replace(stage.world, app=app), stage.fleet, really=True)
    assert (done["named"], done["put_back"]) == (0, 1)
    stage.state.pass_time(1.0)
    assert {"birch", "cedar", "elm"} <= holds(stage, "post3")
    assert not holds(stage, "post4")


@dataclass
class Holding:
    """A vault that lets nothing be removed, as a locked bucket does."""

    inner: SimVault
    name: str

    def list(self, prefix: str) -> list[str]:
        """As it is."""
        return self.inner.list(prefix)

    def get(self, key: str) -> bytes | None:
        """As it is."""
        return self.inner.get(key)

    def erase(self, key: str) -> None:
        """Refused."""
        raise VaultError(f"{self.name} could not erase {key}", "AccessDenied: WORM protected", "Wait.")


def test_a_locked_vault_is_told_and_tried_again(stage: Stage) -> None:
    """What one vault holds back is counted with its reason, goes elsewhere, and goes here once it may."""
    erase(stage.world, stage.fleet, really=False)
    later(stage)
    locked: Any = Holding(stage.world.vaults["elm"], "elm")  # type: ignore[arg-type]
    done = erase(replace(stage.world, vaults={**stage.world.vaults, "elm": locked}), stage.fleet, really=True)
    assert (done["vaults"]["elm"]["erased"], done["vaults"]["elm"]["refused"]) == (0, 2)
    assert "WORM" in done["vaults"]["elm"]["why"]
    assert holds(stage, "post3") == {"elm"}
    done = erase(stage.world, stage.fleet, really=True)
    assert done["vaults"]["elm"]["erased"] == 2
    assert done["vaults"]["birch"]["erased"] == 0
    assert not holds(stage, "post3")


@dataclass
class Locked(Holding):
    """A vault that lets go of everything but payloads, and says until when."""

    def erase(self, key: str) -> None:
        """Refused for what was put under the lock."""
        if key.endswith(".payload"):
            raise VaultError(f"{self.name} could not erase {key}", "AccessDenied: WORM protected", "Wait.")
        self.inner.erase(key)

    def locked_until(self, key: str) -> float | None:
        """A day in 2030."""
        return 1.9e9


@dataclass
class Stale(Holding):
    """A vault whose list is older than what it holds."""

    def list(self, prefix: str) -> list[str]:
        """Whole pictures alone."""
        return [key for key in self.inner.list(prefix) if layout.part(key) is None]

    def erase(self, key: str) -> None:
        """As it is."""
        self.inner.erase(key)


def test_a_payload_stays_under_its_lock_and_no_header_stays_anywhere(stage: Stage) -> None:
    """The headers go by the names that any vault shows; a silent vault may have one still, and makes the run fail."""
    erase(stage.world, stage.fleet, really=False)
    later(stage)
    payload, header = layout.payload("post3", "ab" * 32), layout.header("post3", "ab" * 32)
    vaults: Any = dict(stage.world.vaults)
    vaults["elm"].put_new(payload, b"noise")
    for keeper in ("birch", "cedar"):
        vaults[keeper].put_new(header, b"what opens it")
    seen: Any = {**vaults, "elm": Locked(vaults["elm"], "elm"), "cedar": Stale(vaults["cedar"], "cedar")}
    world = replace(stage.world, vaults=seen)
    stage.state.dead.add("birch")
    told = erase(world, stage.fleet, really=True)["vaults"]
    assert (told["elm"]["payloads"], told["elm"]["until"], told["elm"]["refused"]) == (1, 1.9e9, 0)
    assert "error" in told["birch"]
    assert not vaults["cedar"].exists(header)
    stage.state.dead.discard("birch")
    told = erase(world, stage.fleet, really=True)["vaults"]
    assert not vaults["birch"].exists(header)
    assert (told["birch"]["erased"], told["elm"]["payloads"]) == (2, 1)
    told = erase(stage.world, stage.fleet, really=True)["vaults"]
    assert not vaults["elm"].exists(payload)


def test_a_vault_that_does_not_answer_is_told_and_caught_up_later(stage: Stage) -> None:
    """The others are done; the silent one is an error, not a success."""
    erase(stage.world, stage.fleet, really=False)
    later(stage)
    stage.state.dead.add("elm")
    done = erase(stage.world, stage.fleet, really=True)
    assert "error" in done["vaults"]["elm"]
    stage.state.dead.discard("elm")
    assert holds(stage, "post3") == {"elm"}
    erase(stage.world, stage.fleet, really=True)
    assert not holds(stage, "post3")


def test_nobody_erases_much_by_accident(stage: Stage) -> None:
    """Entries that name most of a vault are refused until that is accepted by its name; nothing went before."""
    for row in [f"post{n}" for n in range(5, 25)] + ["post0", "post1", "post2"]:
        stage.take_down("acorn", row)
    stage.state.pass_time(1.0)
    erase(stage.world, stage.fleet, really=False)
    later(stage)
    assert erase(stage.world, stage.fleet, really=False)["hazards"] == [HAZARD]
    with pytest.raises(Refused, match="More than 10%"):
        erase(stage.world, stage.fleet, really=True)
    assert len(holds(stage, "post7")) >= 3
    erase(stage.world, stage.fleet, really=True, accepted=frozenset({HAZARD}))
    assert not holds(stage, "post7")


def test_payloads_that_only_wait_for_their_lock_are_no_mass_erasure(stage: Stage) -> None:
    """What was erased but for payloads under a lock counts once; what is new beside it is still measured."""
    rows = [f"post{n}" for n in range(3, 25)]
    for row in rows:
        if row not in {"post3", "post4"}:
            stage.take_down("acorn", row)
        stage.world.vaults["elm"].put_new(layout.payload(row, "ab" * 32), b"noise")
    stage.state.pass_time(1.0)
    erase(stage.world, stage.fleet, really=False)
    later(stage)
    elm: Any = Locked(stage.world.vaults["elm"], "elm")  # type: ignore[arg-type]
    world = replace(stage.world, vaults={**stage.world.vaults, "elm": elm})
    assert erase(world, stage.fleet, really=False)["hazards"] == [HAZARD], "not tried yet"
    erase(world, stage.fleet, really=True, accepted=frozenset({HAZARD}))
    done = erase(world, stage.fleet, really=True)
    assert (done["hazards"], done["vaults"]["elm"]["payloads"]) == ([], len(rows))
    for row in rows:
        stage.world.vaults["elm"].put_new(layout.media(row), b"again, whole")
    with pytest.raises(Refused, match=f"elm: {len(rows)} of"):
        erase(world, stage.fleet, really=True)


def test_without_the_app_nothing_is_erased(stage: Stage) -> None:
    """Nobody can say what rows survive: that stops it."""
    stage.state.hosts["acorn"].serving = False
    with pytest.raises(ResilienceError, match="does not serve"):
        erase(stage.world, _anything(stage.fleet), really=True)


def _anything(fleet: Fleet) -> Fleet:
    return replace(fleet, replication=replace(fleet.replication, erase_after_days=0.0))


def test_a_failover_after_erasing_misses_nothing(stage: Stage) -> None:
    """The new site has every picture that a row shows; what was erased is neither there nor missed."""
    erase(stage.world, stage.fleet, really=True)
    later(stage)
    erase(stage.world, stage.fleet, really=True)
    stage.state.lose("acorn")
    stage.operator.failover()
    outputs = stage.state.outputs["birch"]
    facts = stage.world.app.facts(outputs)
    assert (facts["media"]["missing"], facts["takedowns"]["resurrected"]) == ([], [])


@dataclass
class Told:
    """A plane whose vaults hold this ledger now."""

    rows: Sequence[str]

    def removed(self) -> dict[str, Any]:
        """Its entries; a row and its picture have one name here."""
        return {
            "entries": len(self.rows),
            "head": self.rows[-1],
            "pictures": {row: n for n, row in enumerate(self.rows, 1)},
        }


def erased_by(stage: Stage, *rows: str) -> dict[str, Any]:
    """What an erasure by a ledger that names these rows did; all of them were taken down."""
    for row in sorted(set(rows) & stage.state.hosts["acorn"].rows.keys() - stage.state.hosts["acorn"].hidden):
        stage.take_down("acorn", row)
    stage.state.pass_time(1.0)
    plane: Any = Told(rows)
    return erase(replace(stage.world, plane=plane), stage.fleet, really=True)


@pytest.mark.parametrize("since", [("post3",), ("post3", "post4", "post9")])
def test_entries_in_the_place_of_others_were_not_seen_before(stage: Stage, since: tuple[str, ...]) -> None:
    """A thief's entries went, or others stand there: what comes under their numbers counts from its own first day."""
    erased_by(stage, "post3", "post4", "post8")
    later(stage)
    assert erased_by(stage, *since)["through"] == 0
    rows = (*since, "post5", "post6", "post7")[:3]
    assert erased_by(stage, *rows)["waiting"] == 3
    assert all(holds(stage, row) for row in rows)
    later(stage)
    assert erased_by(stage, *rows)["waiting"] == 0
    assert not any(holds(stage, row) for row in rows)


def test_a_vault_was_rid_only_of_the_entries_that_stand(stage: Stage) -> None:
    """It was rid of a thief's entries; of those under the same numbers since, also what a delete hid goes."""
    rows = ("post3", "post4", "post8")
    erased_by(stage, *rows)
    later(stage)
    assert erased_by(stage, *rows)["vaults"]["elm"]["erased"] == 3
    assert erased_by(stage, *rows)["vaults"]["elm"]["erased"] == 0
    erased_by(stage, "post3")
    erased_by(stage, "post3", "post5", "post6")
    later(stage)
    for vault in stage.state.vaults.values():
        vault.pictures -= {"post5", "post6"}
    assert erased_by(stage, "post3", "post5", "post6")["vaults"]["elm"]["erased"] == 3
