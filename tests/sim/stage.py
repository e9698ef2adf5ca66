"""A stage for failovers in the in-memory World: operators who type commands, and what must always hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from resilience.decide import (
    lost_vendors,
    may_be_primary,
    plan_failover,
    plan_protect,
    plan_restore,
    plan_snapshot,
    plan_switchover,
    plan_up,
    plan_vaults,
)
from resilience.engine.execute import Approval, approve, execute, unfinished
from resilience.engine.observe import observe, survey_after_loss, unfilled
from resilience.engine.opening import plan_opening
from resilience.errors import ResilienceError
from resilience.model import Event, Fleet, Plan, SignOff
from resilience.model import Stage as Gate
from resilience.model.fleet import Durability
from resilience.ports import Log, World
from resilience.simulation import Break, Killed, SimLog, State, simulated_fleet, simulated_world
from resilience.simulation.app import SimOutside
from resilience.simulation.shipping import write
from resilience.simulation.users import take_down
from resilience.simulation.vendors import SimCloud
from tests.sim.invariants import Monitor

Outcome = str | None
"""What a command ended with: None when it went well, else the error."""


@dataclass
class Stalling:
    """A journal whose owner falls asleep right before one line; meanwhile something else happens."""

    log: Log
    when: Callable[[Event], bool]
    meanwhile: Callable[[], object] | None

    def append(self, event: Event) -> None:
        """Keep it; before the line in question, once, let the other thing happen."""
        if self.meanwhile and self.when(event):
            happen, self.meanwhile = self.meanwhile, None
            happen()
        self.log.append(event)

    def read(self) -> list[Event]:
        """All events."""
        return self.log.read()


@dataclass
class Operator:
    """One person with one journal, who types the same command again when it failed."""

    stage: Stage
    world: World
    change: Callable[[Plan], Plan] = lambda plan: plan
    """For mutants: what this operator does instead of the plan."""
    sign_offs: tuple[SignOff, ...] = ()

    def asleep(self, when: Callable[[Event], bool], meanwhile: Callable[[], object]) -> Operator:
        """The same person, who falls asleep right before a line of the journal."""

        def happen() -> None:
            with self.stage.monitor.somebody_else():
                meanwhile()

        return replace(self, world=replace(self.world, log=Stalling(self.world.log, when, happen)))

    def accepted(self, plan: Plan) -> frozenset[str]:
        """All hazards, but for missed takedowns where the monitor looks for them."""
        kept = {"stale-ledger"} if self.stage.monitor.watches else set()
        return frozenset(hazard.name for hazard in plan.hazards) - kept

    def vaults(self, *without: str) -> None:
        """As `resilience vaults` does."""
        plan = unfinished(self.world, "vaults")
        if plan is None:
            survey = observe(self.world, self.stage.fleet)
            late = unfilled(self.world, self.stage.fleet)
            plan = plan_vaults(self.stage.fleet, survey, without=frozenset(without), unfilled=late)
            accepted = self.accepted(plan)
            approve(self.world, plan, Approval(plan.digest, accepted, "operator"))
        execute(self.world, self.stage.fleet, plan)

    def protect(self, lost: Iterable[str] = (), *, force: bool = False) -> None:
        """As `resilience protect` does."""
        fleet, dead = self.stage.fleet, frozenset(lost)
        plan = unfinished(self.world, "protect")
        if plan is None:
            survey = observe(self.world, fleet, dead)
            plan = self.change(plan_protect(fleet, survey, declared=dead, force=force))
            accepted = self.accepted(plan)
            approve(self.world, plan, Approval(plan.digest, accepted, "operator"))
        with self.stage.monitor.nobody_calls(frozenset(plan.lost)):
            execute(self.world, fleet, plan)

    def failover(
        self,
        to: str | None = None,
        lost: Iterable[str] = (),
        *,
        anew: bool = False,
        hold: Gate | None = None,
        force: bool = False,
    ) -> None:
        """As `resilience failover` does: go on from the journal, else plan, approve, execute."""
        fleet, monitor, declared = self.stage.fleet, self.stage.monitor, frozenset(lost)
        plan = None if anew else unfinished(self.world, "failover")
        if plan is None or to not in {None, plan.target} or declared:
            survey, dead = survey_after_loss(self.world, fleet, declared, to)
            plan = self.change(plan_failover(fleet, survey, to=to, declared=dead, hold=hold, force=force))
            assert set(plan.lost) >= lost_vendors(fleet, survey, dead)
            accepted = self.accepted(plan)
            approve(self.world, plan, Approval(plan.digest, accepted, "operator", self.sign_offs))
        with monitor.nobody_calls(frozenset(plan.lost)):
            execute(self.world, fleet, plan)

    def switchover(self, to: str | None = None) -> None:
        """As `resilience switchover` does."""
        plan = unfinished(self.world, "switchover")
        if plan is None or to not in {None, plan.target}:
            plan = self.change(plan_switchover(self.stage.fleet, observe(self.world, self.stage.fleet), to=to))
            accepted = self.accepted(plan)
            approve(self.world, plan, Approval(plan.digest, accepted, "operator", self.sign_offs))
        execute(self.world, self.stage.fleet, plan)

    def restore(
        self, at: str | None = None, of: int | None = None, to: str | None = None, lost: Iterable[str] = ()
    ) -> None:
        """As `resilience restore --site` does."""
        fleet, dead = self.stage.fleet, frozenset(lost)
        plan = unfinished(self.world, "restore")
        if plan is None:
            closed = frozenset(vault.name for vault in fleet.vaults if vault.vendor in dead)
            survey, point = observe(self.world, fleet, dead), self.world.without(closed).plane.point(at, of)
            plan = plan_restore(fleet, survey, point, to=to, declared=dead)
            accepted = self.accepted(plan)
            approve(self.world, plan, Approval(plan.digest, accepted, "operator", self.sign_offs))
        execute(self.world, fleet, plan)

    def snapshot(self) -> None:
        """As `resilience snapshot` does: planned anew each time."""
        plan = plan_snapshot(self.stage.fleet, observe(self.world, self.stage.fleet))
        approve(self.world, plan, Approval(plan.digest, frozenset(), by="snapshot"))
        execute(self.world, self.stage.fleet, plan)

    def open(self, site: str, wanted: Gate, lost: frozenset[str] = frozenset()) -> None:
        """As `resilience open` does: planned anew each time, from how far it is open now."""
        fleet = self.stage.fleet
        plan = plan_opening(self.world, fleet, wanted, lost)
        assert plan.target == site
        approve(self.world, plan, Approval(plan.digest, frozenset(), by="operator"))
        execute(self.world, fleet, plan)

    def up(self, site: str, lost: frozenset[str] = frozenset()) -> None:
        """As `resilience up` does."""
        survey, plan = observe(self.world, self.stage.fleet, lost), unfinished(self.world, "up")
        if plan is None or plan.target != site or lost or plan.lost or not may_be_primary(survey, site):
            plan = plan_up(self.stage.fleet, survey, site, lost)
            approve(self.world, plan, Approval(plan.digest, frozenset(), by="up"))
        with self.stage.monitor.nobody_calls(frozenset(plan.lost)):
            execute(self.world, self.stage.fleet, plan)


@dataclass
class Stage:
    """A fleet in memory with its monitor."""

    fleet: Fleet
    state: State = field(default_factory=State)
    posted: int = 0
    beside: State | None = None
    """What the newest rehearsal sees and puts."""

    def __post_init__(self) -> None:
        self.world = simulated_world(self.state, self.fleet)
        self.monitor = Monitor(self.state, self.fleet)
        self.operator = Operator(self, self.world)

    def other_operator(self) -> Operator:
        """Another person on another machine, with a journal of their own and no state of any stack."""
        clouds = {site.name: SimCloud(self.state, {site.name}) for site in self.fleet.sites}
        return Operator(self, replace(self.world, log=SimLog(self.state), clouds=clouds))

    def unwatched(self) -> None:
        """From here on the operator gives up, by name, what the monitor looks for."""
        self.state.watchers.clear()
        self.monitor.watches = False

    def post(self, count: int, site: str | None = None) -> int:
        """Users post at a site, or wherever the name leads; how many posts were taken."""
        host = self.state.hosts[site] if site else SimOutside(self.state, self.fleet).reached()
        names = [f"post{self.posted + n}" for n in range(count)]
        self.posted += count
        taken = sum(write(self.state, host, name) for name in names) if host else 0
        self.monitor.look("post")
        return taken

    def post_slowly(self, site: str) -> str:
        """A user posts a picture that is uploaded for long: its row is in the vaults, and told, and the picture in none."""
        self.state.hosts[site].slow = {*self.state.vaults}
        assert self.post(1, site) == 1
        self.state.pass_time(1.0)
        return f"post{self.posted - 1}"

    def take_down(self, site: str, row: str) -> None:
        """A moderator takes a post down."""
        take_down(self.state, self.state.hosts[site], row)

    def break_next(self, door: str, *, after: bool = False, how: str = "error", call: int = 1) -> Break:
        """Break the n-th call on a door from now."""
        number = self.state.doors.calls[door] + call
        found = Break(door, number, after=after, how=how)  # type: ignore[arg-type]
        self.state.doors.breaks.append(found)
        return found


def fleet_with(durability: Durability = "async", **companions: tuple[str, ...]) -> Fleet:
    """The drill's fleet, with another durability or with companions of vendors."""
    fleet = simulated_fleet()
    vendors = tuple(replace(v, companions=companions.get(v.name, ())) for v in fleet.vendors)
    rules = replace(fleet.replication, durability=durability)
    return replace(fleet, vendors=vendors, replication=rules)


def day_one(durability: Durability = "async", **companions: tuple[str, ...]) -> Stage:
    """The site acorn is up, users posted, two posts were taken down, and the last posts reached one vault only."""
    return begun(fleet_with(durability, **companions))


def begun(fleet: Fleet) -> Stage:
    """The same for any fleet that begins at acorn."""
    stage = Stage(fleet)
    stage.operator.up("acorn")
    stage.post(20, "acorn")
    stage.state.pass_time(1.0)
    for row in ("post3", "post4"):
        stage.take_down("acorn", row)
    stage.post(5, "acorn")
    stage.state.pass_time(0.25)
    stage.state.cached = (0, ())
    return stage


def attempt(command: Callable[[], None]) -> str | None:
    """Run a command as a person does; what it ended with, where that was no success."""
    try:
        command()
    except ResilienceError as error:
        return f"{type(error).__name__}: {error.what}"
    except Killed as door:
        return f"killed at {door}"
    return None
