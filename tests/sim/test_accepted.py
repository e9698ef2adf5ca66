"""A loss that was accepted by name is a loss for good: no later command under that epoch stops at it again."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from resilience import cli
from resilience.engine.drill import Drill
from resilience.errors import Refused, ResilienceError, TooFewVaults, UsageError
from resilience.judge import judge
from resilience.model import Stage
from resilience.model.fleet import Durability
from tests.sim.drills import as_if_real, run
from tests.sim.plans import one_vault_and_no_primary
from tests.sim.stage import Operator, day_one
from tests.sim.stage import Stage as Theatre
from tests.sim.test_orders import in_two_of_three, unlisting
from tests.sim.typed import typing_at

GONE = ("acorn", "birch", "cedar")


def uploading(durability: Durability) -> Theatre:
    """Acorn's vendor left while a picture was still being uploaded whose row was acknowledged and is in the vaults."""
    theatre = day_one(durability)
    theatre.state.moderators = 1
    row = theatre.post_slowly("acorn")
    assert row in theatre.state.acknowledged
    assert all(row in held.chain(1).rows and row not in held.pictures for held in theatre.state.vaults.values())
    theatre.state.lose("acorn")
    return theatre


def without_takedowns() -> Theatre:
    """Dover serves by force, but for sign-ups, without the vaults that alone may hold some takedowns; that was accepted."""
    theatre = one_vault_and_no_primary("quorum")
    theatre.state.moderators = 1
    theatre.operator.failover(to="dover", lost=GONE, hold=Stage.SIGN_UPS, force=True)
    plan = next(e.data["plan"] for e in reversed(theatre.world.log.read()) if e.kind == "plan")
    assert "stale-ledger" in {hazard["name"] for hazard in plan["hazards"]}
    assert gate(theatre, "dover") == Stage.WRITES
    return theatre


def knowing(theatre: Theatre, site: str) -> Operator:
    """Another person, whose machine has that site's state (`resilience stack restore`) and no journal."""
    other = theatre.other_operator()
    clouds = {**other.world.clouds, site: theatre.world.clouds[site]}
    return replace(other, world=replace(other.world, clouds=clouds))


def typed(operator: Operator, patched: pytest.MonkeyPatch, folder: Path, line: str) -> Result:
    """A command as this person types it; what it ended with."""
    typing_at(operator.stage, operator.world, patched, folder)
    return CliRunner().invoke(cli.app, line.split())


def way_on(said: Result) -> str:
    """The command that its error says to type."""
    assert isinstance(said.exception, ResilienceError), said.exception
    (found,) = re.findall(r"`resilience (open [a-z -]+)`", said.exception.next)
    return str(found)


def gate(theatre: Theatre, site: str = "birch") -> Stage:
    """How far it is open."""
    return theatre.state.hosts[site].stage


def test_a_picture_that_was_being_uploaded_keeps_no_quorum_fleet_from_coming_back() -> None:
    """The plan says that it may be lost; accepted, the site opens and the name moves, and the picture is counted."""
    theatre = uploading("quorum")
    theatre.operator.failover()
    assert gate(theatre) == Stage.SIGN_UPS
    assert theatre.state.zones["dover"] == theatre.state.outputs["birch"].addresses
    plan = next(e.data["plan"] for e in reversed(theatre.world.log.read()) if e.kind == "plan")
    assert "loses-pictures" in {hazard["name"] for hazard in plan["hazards"]}
    (missing,) = {e.data["missing"] for e in theatre.world.log.read() if e.kind == "media-checked"}
    assert missing == 1


@pytest.mark.parametrize("durability", ["async", "quorum"])
def test_what_a_drill_lost_of_pictures_is_judged(durability: Durability) -> None:
    """Users are back; the verdict is missed, for the pictures alone."""
    events = run(Drill(durability=durability, simulated=True), slow=True)
    verdict = judge(as_if_real(events))
    assert verdict.rto.measured_s
    assert verdict.media.missing
    assert verdict.verdict == "missed"
    assert [why.split(":")[0] for why in verdict.why] == ["Pictures"]


@pytest.mark.parametrize("durability", ["async", "quorum"])
def test_writes_that_were_held_are_opened_later(durability: Durability) -> None:
    """What the failover's plan accepted holds for `open`, also once the vault set changed under it."""
    theatre = uploading(durability)
    theatre.operator.failover(hold=Stage.WRITES)
    theatre.operator.open("birch", Stage.WRITES)
    assert gate(theatre) == Stage.WRITES
    theatre.operator.open("birch", Stage.READ_ONLY)
    before = theatre.monitor.newest()
    theatre.operator.vaults("cedar")
    assert theatre.monitor.newest() != before
    theatre.operator.open("birch", Stage.SIGN_UPS)
    assert gate(theatre) == Stage.SIGN_UPS


@pytest.mark.parametrize("durability", ["async", "quorum"])
def test_elsewhere_a_lost_picture_is_accepted_once(
    durability: Durability, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another machine knows nothing of it: it is refused, and says what to type; from then on it is accepted there, too."""
    theatre = uploading(durability)
    theatre.operator.failover(hold=Stage.WRITES)
    other = knowing(theatre, "birch")
    refused = typed(other, monkeypatch, tmp_path, "open writes --lost acorn")
    assert isinstance(refused.exception, Refused)
    assert way_on(refused) == "open writes --accept loses-pictures --lost acorn"
    assert gate(theatre) == Stage.READ_ONLY
    assert typed(other, monkeypatch, tmp_path, way_on(refused)).exception is None
    assert gate(theatre) == Stage.WRITES
    for line in ("open read-only", "open sign-ups --lost acorn"):
        assert typed(other, monkeypatch, tmp_path, line).exception is None
    assert gate(theatre) == Stage.SIGN_UPS


def test_a_move_that_stopped_at_a_lost_picture_goes_on_once_that_is_accepted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Vaults lost it after the look, and no plan of a switchover can carry that: it is accepted for the epoch that the move sealed."""
    theatre = day_one("quorum")

    def lose(door: str) -> None:
        if door == "plane.acorn.stand_down":
            theatre.state.hosts["birch"].pictures.discard("post5")
            for held in theatre.state.vaults.values():
                held.pictures.discard("post5")

    theatre.state.watchers.append(lose)
    with pytest.raises(Refused, match="nowhere") as stopped:
        theatre.operator.switchover("birch")
    assert gate(theatre) == Stage.READ_ONLY
    (way,) = re.findall(r"`resilience (open [a-z -]+)`, then the same command again", stopped.value.next)
    assert way == "open read-only --accept loses-pictures"
    assert typed(theatre.operator, monkeypatch, tmp_path, way).exception is None
    theatre.operator.switchover()
    assert gate(theatre) == Stage.WRITES
    assert theatre.state.zones["dover"] == theatre.state.outputs["birch"].addresses


def test_takedowns_that_were_given_up_stop_no_later_command() -> None:
    """Sign-ups, the site's own shape and its protection: each looks at the site again."""
    theatre = without_takedowns()
    theatre.operator.open("dover", Stage.SIGN_UPS)
    assert gate(theatre, "dover") == Stage.SIGN_UPS
    theatre.operator.up("dover", frozenset(GONE))
    theatre.operator.protect(GONE)


def test_elsewhere_takedowns_are_given_up_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a machine without that journal each command is refused, and names the way on; taken, they end well there."""
    theatre = without_takedowns()
    other = knowing(theatre, "dover")
    lost = "".join(f" --lost {vendor}" for vendor in GONE)
    for line in (f"open sign-ups{lost}", f"up dover{lost}"):
        refused = typed(other, monkeypatch, tmp_path, line)
        assert isinstance(refused.exception, TooFewVaults)
        stage = "sign-ups" if line.startswith("open") else "writes"
        assert way_on(refused) == f"open {stage} --accept stale-ledger{lost}"
        assert gate(theatre, "dover") == Stage.WRITES
    assert typed(other, monkeypatch, tmp_path, way_on(refused)).exception is None
    assert gate(theatre, "dover") == Stage.WRITES
    for line in (f"up dover{lost}", f"open sign-ups{lost}"):
        assert typed(other, monkeypatch, tmp_path, line).exception is None
    assert gate(theatre, "dover") == Stage.SIGN_UPS


def test_an_order_that_was_given_up_stops_no_later_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The one vault that is left lists no orders: `up` goes on where that was accepted, and elsewhere once it is."""
    theatre = in_two_of_three()
    unlisting(theatre).failing = True
    theatre.operator.failover("birch")
    theatre.operator.up("birch", frozenset({"acorn", "cedar"}))
    other = knowing(theatre, "birch")
    up = "up birch --lost acorn --lost cedar"
    refused = typed(other, monkeypatch, tmp_path, up)
    assert way_on(refused) == "open writes --accept missed-order --lost acorn --lost cedar"
    for line in (way_on(refused), up):
        assert typed(other, monkeypatch, tmp_path, line).exception is None


def test_opening_accepts_what_opening_asks_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Any other name is a slip of the finger or belongs to another plan; and closing asks for nothing."""
    theatre = uploading("quorum")
    theatre.operator.failover()
    for line in (
        "open writes --accept split-brain",
        "open writes --accept loses-wirtes",
        "open closed --accept loses-pictures",
    ):
        refused = typed(theatre.operator, monkeypatch, tmp_path, line)
        assert isinstance(refused.exception, UsageError), line
        assert gate(theatre) == Stage.SIGN_UPS
