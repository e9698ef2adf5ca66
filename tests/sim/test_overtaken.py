"""What a command that stopped half-way still has to do, whatever was typed meanwhile."""

from __future__ import annotations

from functools import partial

import pytest

from resilience.engine.execute import unfinished
from resilience.errors import Refused
from tests.sim.plans import bad_day, lost
from tests.sim.stage import Operator, Stage, attempt, day_one
from tests.sim.test_cases import begins, interrupted


def stopped_before_filling() -> Stage:
    """Elm is in the set again of the site that serves, and lacks the pictures of the time when it was not."""
    stage = day_one()
    stage.operator.vaults("elm")
    stage.post(3, "acorn")
    stage.state.pass_time(1.0)
    with pytest.raises(KeyboardInterrupt):
        stage.operator.asleep(partial(begins, "fill"), interrupted).vaults()
    assert lacking(stage)
    return stage


def lacking(stage: Stage) -> set[str]:
    """Pictures that the site has and elm has not."""
    stage.state.pass_time(1.0)
    return stage.state.hosts["acorn"].pictures - stage.state.vaults["elm"].pictures


def filled_by(operator: Operator) -> list[list[str]]:
    """Vaults that each `fill` in this operator's journal was for."""
    steps = [e.data for e in operator.world.log.read() if e.kind == "step-done" and e.data["action"] == "fill"]
    return [list(step["facts"]["copied"]) for step in steps]


def birch_serves(stage: Stage) -> None:
    """Under the epoch that the failover sealed, and no later one."""
    newest = stage.monitor.newest()
    assert newest is not None
    assert (newest.number, newest.site) == (2, "birch")
    assert stage.post(1) == 1


def test_up_takes_the_place_of_no_failover_that_began_to_seal() -> None:
    """It is refused, and says to type the command that stopped: that one goes on where it was going."""
    stage = lost()
    stage.break_next("plane.birch.restore")
    assert attempt(stage.operator.failover)
    with pytest.raises(Refused, match="birch stays as it is"):
        stage.operator.up("birch", frozenset({"acorn"}))
    stage.operator.failover()
    birch_serves(stage)


@pytest.mark.parametrize("action", ["verify", "point", "protect"])
def test_up_that_goes_through_takes_its_place_no_more_than_one_that_is_refused(action: str) -> None:
    """The site is there already; what the failover still has to do is done by it."""
    stage = lost()
    with pytest.raises(KeyboardInterrupt):
        stage.operator.asleep(partial(begins, action), interrupted).failover()
    stage.operator.up("birch", frozenset({"acorn"}))
    stage.operator.failover()
    birch_serves(stage)
    assert unfinished(stage.world, "failover") is None


def test_up_takes_the_place_of_no_restore() -> None:
    """What is undone stays undone: the restore goes on to its point."""
    stage = bad_day()
    stage.break_next("plane.acorn.restore")
    assert attempt(lambda: stage.operator.restore("0/19"))
    assert attempt(lambda: stage.operator.up("acorn"))
    stage.operator.restore("0/19")
    newest = stage.monitor.newest()
    assert newest is not None
    assert newest.number == 2
    assert len(stage.state.hosts["acorn"].rows) == 25


def test_a_standby_that_is_made_takes_the_place_of_no_first_day() -> None:
    """The first site has no database yet, and gets one."""
    fresh = Stage(day_one().fleet)
    fresh.break_next("plane.acorn.create")
    assert attempt(lambda: fresh.operator.up("acorn"))
    fresh.operator.up("birch")
    fresh.operator.up("acorn")
    assert fresh.post(1, "acorn") == 1


def test_a_first_day_that_was_planned_anew_is_over() -> None:
    """What opened everything on the first day opens nothing once the site was brought up without a vendor."""
    stage = Stage(day_one().fleet)
    with pytest.raises(KeyboardInterrupt):
        stage.operator.asleep(partial(begins, "state"), interrupted).up("acorn")
    stage.operator.up("acorn", frozenset({"elm"}))
    assert unfinished(stage.world, "up") is None


def test_vaults_fills_what_it_left_out_whatever_up_did_meanwhile() -> None:
    """Typed again it goes on."""
    stage = stopped_before_filling()
    stage.operator.up("acorn")
    assert lacking(stage)
    stage.operator.vaults()
    assert not lacking(stage)


def test_vaults_fills_what_another_machine_left_out() -> None:
    """That one's journal is not here: the vault itself says that nobody ever gave it what was there before it came."""
    stage = stopped_before_filling()
    other = stage.other_operator()
    other.vaults()
    assert not lacking(stage)
    assert filled_by(other) == [["elm"]]
    other.vaults()
    stage.other_operator().vaults()
    assert filled_by(other) == [["elm"]], "once is enough, whoever asks"


def test_a_vault_that_a_failover_left_empty_is_filled_by_vaults() -> None:
    """Home again, and the command stopped before it filled the vault that was in no set meanwhile; the next one's plan knows nothing of it."""
    stage = lost()
    stage.operator.failover()
    stage.post(5)
    stage.state.revive("acorn")
    stage.state.pass_time(40.0)
    with pytest.raises(KeyboardInterrupt):
        stage.operator.asleep(partial(begins, "fill"), interrupted).switchover("acorn")
    other = stage.other_operator()
    other.vaults()
    assert filled_by(other) == [["birch"]]
    assert stage.state.vaults["birch"].pictures >= stage.state.vaults["cedar"].pictures


def test_vaults_that_were_there_from_the_first_day_are_whole() -> None:
    """Nothing was ever put before they were; after a move with no new vault neither."""
    stage = day_one()
    stage.operator.vaults()
    stage.state.lose("acorn")
    stage.operator.failover()
    stage.operator.vaults()
    assert filled_by(stage.operator) == []
