"""Stages in whole failovers: held, refused, and opened later."""

from __future__ import annotations

import pytest

from resilience.errors import Refused
from resilience.model import Stage
from tests.sim.stage import Stage as Theatre
from tests.sim.stage import attempt, day_one


def lost() -> Theatre:
    """A stage whose primary's vendor is gone, and where somebody moderates."""
    theatre = day_one()
    theatre.state.moderators = 1
    theatre.state.lose("acorn")
    return theatre


def at(theatre: Theatre) -> Stage:
    """How far birch is open."""
    return theatre.state.hosts["birch"].stage


def test_a_failover_opens_everything() -> None:
    """One stage after the other, each journalled."""
    theatre = lost()
    theatre.operator.failover()
    assert theatre.state.hosts["birch"].stage == Stage.SIGN_UPS
    said = [e.data["stage"] for e in theatre.world.log.read() if e.kind == "opened"]
    assert said[-3:] == ["read-only", "writes", "sign-ups"]


@pytest.mark.parametrize("hold", [Stage.READ_ONLY, Stage.WRITES, Stage.SIGN_UPS])
def test_a_held_stage_stays_shut_until_it_is_opened(hold: Stage) -> None:
    """The failover ends well one stage below; writes are refused where they are held; `open` goes on from there."""
    theatre = lost()
    theatre.operator.failover(hold=hold)
    birch = theatre.state.hosts["birch"]
    assert birch.stage.rank == hold.rank - 1
    assert (theatre.post(1, "birch") == 1) is birch.stage.covers(Stage.WRITES)
    moved = theatre.state.zones["dover"] == theatre.state.outputs["birch"].addresses
    assert moved is (hold != Stage.READ_ONLY), "a name never moves to a site where nobody may even read"
    theatre.operator.open("birch", Stage.SIGN_UPS)
    assert birch.stage == Stage.SIGN_UPS
    assert theatre.post(1, "birch") == 1


def test_sign_ups_wait_for_a_moderator() -> None:
    """The site serves and the command ends well; new users come once somebody can reach the queue."""
    theatre = lost()
    theatre.state.moderators = 0
    theatre.operator.failover()
    assert at(theatre) == Stage.WRITES
    assert [e.data["stage"] for e in theatre.world.log.read() if e.kind == "held"] == ["sign-ups"]
    theatre.state.moderators = 1
    theatre.operator.open("birch", Stage.SIGN_UPS)
    assert at(theatre) == Stage.SIGN_UPS


def test_a_ledger_that_is_behind_opens_nothing() -> None:
    """An entry that enough vaults hold, put there after the replay: the site stays closed and the name where it is."""
    theatre = lost()

    def late(door: str) -> None:
        if door == "app.birch.replay_ledger":
            for name in ("cedar", "elm"):
                theatre.state.vaults[name].objects["ledger/00000001/00000003"] = b"post5"

    theatre.state.watchers.append(late)
    with pytest.raises(Refused, match="not opened up to read-only"):
        theatre.operator.failover()
    assert theatre.state.hosts["birch"].stage == Stage.CLOSED
    assert theatre.state.zones["dover"] == theatre.state.outputs["acorn"].addresses
    assert attempt(theatre.operator.failover) is None, "run again, the entry is fetched and replayed"


def test_closing_is_at_once_and_needs_nothing() -> None:
    """Down to reading: the next write is refused."""
    theatre = lost()
    theatre.operator.failover()
    theatre.operator.open("birch", Stage.READ_ONLY)
    assert theatre.post(1, "birch") == 0
