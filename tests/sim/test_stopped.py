"""A seal that named a site which was never opened: every way on leads there, and what may have opened is left as lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from resilience.adapters.threads import side_by_side
from resilience.decide import plan_failover
from resilience.engine.observe import survey_after_loss
from resilience.errors import ResilienceError, UsageError
from resilience.model import Fleet, Plan
from resilience.model import Stage as Gate
from resilience.replication import layout
from resilience.simulation import Killed
from resilience.simulation.plane import SimPlane
from tests.sim.stage import Stage, attempt, begun, fleet_with

FLEETS = {"two sites": 2, "three sites": 3}


def small(sites: int, durability: Any = "async", **companions: tuple[str, ...]) -> Fleet:
    """The first so many sites, of fleets as they are in examples."""
    fleet = fleet_with(durability, **companions)
    return replace(fleet, sites=fleet.sites[:sites])


def killed(command: Callable[[], None]) -> None:
    """The operator's process ends in the middle."""
    with pytest.raises(Killed):
        command()


def stopped(stage: Stage, door: str, closes: str = "acorn") -> Stage:
    """A move to birch that was killed there, after its seal; then a vendor, the old one's, closes the account."""
    stage.state.pass_time(1.0)
    stage.break_next(door, how="killed")
    killed(partial(stage.operator.switchover, to="birch"))
    newest = stage.monitor.newest()
    assert newest is not None
    assert (newest.number, newest.site) == (2, "birch"), "it was killed after the seal"
    stage.state.lose(closes)
    return stage


def shown(stage: Stage, *lost: str, to: str | None = None) -> Plan:
    """As `resilience plan` shows it, on any machine."""
    survey, dead = survey_after_loss(stage.world, stage.fleet, frozenset(lost), to)
    return plan_failover(stage.fleet, survey, to=to, declared=dead)


def told(command: Callable[[], None]) -> ResilienceError:
    """What a command that stops says."""
    with pytest.raises(ResilienceError) as error:
        command()
    return error.value


def everything(stage: Stage) -> None:
    """Users write at birch, by name, and no write that was acknowledged is missing."""
    assert stage.post(1, "birch") == 1
    stage.state.pass_time(40.0)
    assert stage.post(1) == 1
    assert set(stage.state.acknowledged) <= set(stage.state.hosts["birch"].rows)


@pytest.mark.parametrize("durability", ["async", "quorum"])
@pytest.mark.parametrize("sites", FLEETS.values(), ids=FLEETS)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "on another machine"])
def test_a_bare_failover_goes_on_to_the_site_that_was_never_opened(
    durability: Any,
    sites: int,
    elsewhere: bool,  # noqa: FBT001
) -> None:
    """The old vendor closed after the seal: without an option it leads there, and the old vendor is not called."""
    stage = stopped(begun(small(sites, durability)), "plane.acorn.stand_down")
    before = len(stage.state.called_dead)
    plan = shown(stage)
    assert (plan.target, plan.lost) == ("birch", ("acorn",))
    operator = stage.other_operator() if elsewhere else stage.operator
    assert attempt(operator.failover) is None
    assert [call for call in stage.state.called_dead[before:] if call["from"] == "operator"] == []
    everything(stage)


@pytest.mark.parametrize("sites", FLEETS.values(), ids=FLEETS)
def test_a_move_typed_again_says_what_to_type(sites: int) -> None:
    """What the old site wrote last is not known, so nothing is promoted; the line it says to type ends well."""
    stage = stopped(begun(small(sites)), "plane.acorn.stand_down")
    for _ in range(2):
        said = told(stage.operator.switchover)
        assert "`resilience plan --lost acorn --to birch`" in said.next
        assert "All vaults held all that users wrote" in said.next
        assert not stage.state.hosts["birch"].promoted_under
    stage.operator.failover(to="birch", lost={"acorn"})
    everything(stage)


@pytest.mark.parametrize("sites", FLEETS.values(), ids=FLEETS)
def test_a_move_whose_old_site_said_its_last_word_goes_on(sites: int) -> None:
    """It is known what acorn wrote last: nobody is asked there any more; its zone is left to `protect`, as the error says."""
    stage = stopped(begun(small(sites)), "plane.birch.restore")
    stage.operator = replace(stage.operator, world=replace(stage.world, together=side_by_side))
    said = told(stage.operator.switchover)
    assert "`resilience protect --lost acorn`" in said.next
    assert stage.state.zones["dover"] == stage.state.outputs["birch"].addresses
    everything(stage)
    stage.operator.protect(lost={"acorn"})
    everything(stage)


@pytest.mark.parametrize("door", ["plane.birch.shape", "cloud.birch.up", "plane.birch.restore"])
def test_a_failover_that_stopped_is_gone_on_with_elsewhere(door: str) -> None:
    """Another machine that never heard of it goes to the same site, which is whole, and not to the next one."""
    stage = begun(small(3))
    stage.state.lose("acorn")
    stage.break_next(door, how="killed")
    killed(stage.operator.failover)
    assert shown(stage).target == "birch"
    assert attempt(stage.other_operator().failover) is None
    newest = stage.monitor.newest()
    assert newest is not None
    assert newest.site == "birch"
    assert stage.post(1) == 1


def test_a_site_that_may_have_opened_is_left() -> None:
    """Its opening record lies in a vault, or a vault does not say: promoted or not, it counts as lost."""
    stage = begun(small(3))
    stage.state.lose("acorn")
    stage.break_next("plane.birch.recover", how="killed")
    killed(stage.operator.failover)
    assert not stage.state.hosts["birch"].promoted_under
    assert shown(stage).target == "cedar"
    for name in ("cedar", "elm"):
        stage.state.vaults[name].objects.pop(layout.opening(2))
    assert shown(stage).target == "birch"
    stage.state.hosts["birch"].serving = True
    assert shown(stage).target == "cedar"


def test_a_site_that_served_and_stopped_is_left() -> None:
    """Its vendor answers, its host does not: that is what a failover is for."""
    stage = begun(small(3))
    stage.state.lose("acorn")
    stage.operator.failover()
    stage.state.pass_time(1.0)
    stage.state.hosts["birch"].serving = False
    assert shown(stage).target == "cedar"
    assert "birch" in shown(stage).lost


def test_a_changed_set_is_no_site_that_never_opened() -> None:
    """`vaults` was killed between its seal and the turn: acorn wrote under the epoch before, so it is the one to leave."""
    stage = begun(small(3))
    stage.state.pass_time(1.0)
    stage.break_next("plane.acorn.await_turn", how="killed")
    killed(partial(stage.operator.vaults, "elm"))
    newest = stage.monitor.newest()
    assert newest is not None
    assert newest.number == 2
    stage.state.hosts["acorn"].alive = False
    plan = shown(stage)
    assert (plan.target, plan.lost) == ("birch", ("acorn",))


def test_where_its_vendor_closed_too_the_next_one_is_gone_to() -> None:
    """Both are lost, and neither is a target."""
    stage = stopped(begun(small(3)), "plane.acorn.stand_down")
    stage.state.lose("birch")
    plan = shown(stage)
    assert (plan.target, plan.lost) == ("cedar", ("acorn", "birch"))
    assert shown(stage, "birch").target == "cedar"


@pytest.mark.parametrize("sites", FLEETS.values(), ids=FLEETS)
def test_where_its_vendor_closed_alone_the_old_site_is_gone_back_to(sites: int) -> None:
    """Acorn is fenced and whole: it, and not its vendor, is what is left."""
    stage = stopped(begun(small(sites)), "plane.acorn.stand_down", closes="birch")
    plan = shown(stage)
    assert (plan.target, plan.lost) == ("acorn", ("birch",))
    assert attempt(stage.operator.failover) is None
    assert stage.post(1, "acorn") == 1


def test_where_its_vendor_says_nothing_a_person_decides() -> None:
    """Of two sites one is lost and one can't be told: the error names the option that goes there all the same."""
    stage = stopped(begun(small(2)), "plane.acorn.stand_down")
    stage.break_next("account.birch.is_open")
    with pytest.raises(UsageError) as said:
        shown(stage)
    assert "where birch was never opened, and its vendor answers, it is gone to with --to birch" in said.value.why
    assert shown(stage, "acorn", to="birch").target == "birch"


def test_who_leaves_with_the_old_vendor_is_no_way_on() -> None:
    """Birch was expected to go with acorn: it counts as lost with it."""
    stage = stopped(begun(small(3, "async", acorn=("birch",))), "plane.acorn.stand_down")
    assert shown(stage).target == "cedar"


def test_two_that_stopped_lead_to_the_newest() -> None:
    """To birch, then to cedar, and neither opened: cedar is gone on to, and acorn alone is lost."""
    stage = stopped(begun(small(3)), "plane.acorn.stand_down")
    stage.break_next("plane.cedar.shape", how="killed")
    killed(partial(stage.operator.failover, to="cedar", lost={"acorn"}))
    plan = shown(stage)
    assert (plan.target, plan.lost) == ("cedar", ("acorn",))
    assert attempt(stage.other_operator().failover) is None
    assert stage.post(1, "cedar") == 1


@pytest.mark.parametrize("door", ["shape", "set_aside"])
def test_the_machine_that_wakes_up_later_does_no_more(door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one went on to the same site meanwhile, and holds it: nothing is opened, told or set aside by who slept in the middle of a step."""
    stage, act = begun(fleet_with("async")), getattr(SimPlane, door)
    stage.state.lose("acorn")
    other: list[Any] = []

    def slept(plane: SimPlane, *args: Any) -> Any:
        if not other:
            other.append(stage.other_operator())
            other[0].failover(hold=Gate.READ_ONLY)
        return act(plane, *args)

    monkeypatch.setattr(SimPlane, door, slept)
    told(stage.operator.failover)
    assert (newest := stage.monitor.newest()) is not None
    assert (newest.number, newest.site) == (3, "birch")
    outputs = other[0].world.clouds["birch"].outputs(stage.fleet.site("birch"))
    assert stage.world.gate.stage(outputs) == Gate.CLOSED
    assert stage.state.hosts["birch"].told == newest


def test_the_machine_that_wakes_up_later_makes_no_standby_of_a_site_that_another_opens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was about to have birch follow; another went on to birch meanwhile, and the keys that it put there stay."""
    stage, act = begun(fleet_with("async")), SimPlane.follow
    stage.fleet = replace(
        stage.fleet,
        sites=tuple(replace(site, standby="hot") if site.name == "birch" else site for site in stage.fleet.sites),
    )

    def slept(plane: SimPlane, *args: Any) -> Any:
        stage.state.lose("acorn")
        stage.break_next("plane.birch.restore", how="killed")
        killed(stage.other_operator().failover)
        return act(plane, *args)

    monkeypatch.setattr(SimPlane, "follow", slept)
    assert "newer epoch" in told(partial(stage.operator.up, "birch")).what
    birch = stage.state.hosts["birch"]
    assert not birch.follows
    assert birch.told == stage.monitor.newest()
