"""The drill's own code: a fault in front and an account of every write behind, whatever the failover does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import stamina

from resilience.engine.drill import Drill, prepare, run_drill
from resilience.errors import ResilienceError, UsageError
from resilience.judge import judge
from resilience.model import Event, SiteOutputs
from resilience.simulation import Break, SimulatedGround, SimulatedUsers, State, simulated_fleet, simulated_world
from resilience.simulation.app import SimApp
from resilience.simulation.shipping import record_takedown
from resilience.simulation.state import Host
from tests.sim.drills import as_if_real
from tests.sim.stage import fleet_with


@pytest.fixture(autouse=True)
def _retry_at_once() -> Iterator[None]:
    """Retries do not wait for real seconds: the simulation has its own."""
    with stamina.set_testing(True, attempts=12):
        yield


@dataclass
class Half(SimulatedGround):
    """A ground whose counters did not cover every host."""

    def blackhole_complete(self) -> bool:
        """Some host was not watched."""
        return False


@dataclass
class Idle(SimulatedUsers):
    """Users who hardly do anything."""

    def begin(self, seed: int, newcomers: int) -> None:
        """Write a little, then nothing."""
        super().begin(seed, newcomers)
        self.end()
        self.sim.pass_time(60.0)


def drilled(drill: Drill, *broken: Break, ground: type[SimulatedGround] = SimulatedGround) -> list[Event]:
    """The journal of a drill, with its error swallowed where the failover stopped."""
    fleet, state = simulated_fleet(), State()
    state.doors.breaks.extend(broken)
    world, users = simulated_world(state, fleet), SimulatedUsers(state, fleet)
    try:
        run_drill(world, fleet, ground(state, fleet, users), users, drill, lambda _event: None)
    except ResilienceError as error:
        state.events.append(Event(state.now, "said", {"what": error.what}))
    return state.events


def kinds(events: Sequence[Event]) -> list[str]:
    """Which lines there are."""
    return [event.kind for event in events]


def test_the_journal_has_every_proof() -> None:
    """One line of each kind that the judge needs, the fault in front of the failover."""
    told = kinds(drilled(Drill(seed=7, simulated=True)))
    for kind in ("fault", "blackhole", "fence", "acknowledged", "requests", "writes-checked", "takedowns-seen", "data"):
        assert told.count(kind) == 1, kind
    assert told[0] == "drill-started"
    assert told.index("fault") < len(told) - 1 - told[::-1].index("decided")


def test_a_failover_that_stops_still_leaves_an_account() -> None:
    """Writes, requests, calls and the fence are kept; the verdict is no pass, and says where it stopped."""
    events = drilled(Drill(simulated=True), Break("plane.birch.restore", 1))
    told = kinds(events)
    for kind in ("step-failed", "blackhole", "acknowledged", "requests"):
        assert told.count(kind) == 1, kind
    verdict = judge(as_if_real(events))
    assert verdict.verdict == "unknown"
    assert any("restore" in why for why in verdict.why)


def test_counters_that_missed_a_host_prove_nothing() -> None:
    """No call was counted, but not everybody was watched: unknown, never 0."""
    verdict = judge(as_if_real(drilled(Drill(simulated=True), ground=Half)))
    assert verdict.verdict == "unknown"
    assert verdict.blackhole.calls is None


def test_idle_users_stop_the_drill_before_the_fault() -> None:
    """A loss can't be counted from a handful of writes."""
    fleet, state = simulated_fleet(), State()
    world, users = simulated_world(state, fleet), Idle(state, fleet)
    with pytest.raises(ResilienceError, match="writes were acknowledged"):
        run_drill(world, fleet, SimulatedGround(state, fleet, users), users, Drill(), lambda _event: None)
    assert "fault" not in kinds(state.events)


@pytest.mark.parametrize(
    "drill",
    [
        Drill(fault="flood"),
        Drill(to="acorn"),
        Drill(to="nowhere"),
        Drill(to="elm"),
        Drill(fault="correlated", to="cedar"),
    ],
)
def test_what_cannot_be_drilled_is_refused_before_anything_is_made(drill: Drill) -> None:
    """A fault that is none, a target that is none, or one that the fault takes along."""
    fleet, state = fleet_with(), State()
    world, users = simulated_world(state, fleet), SimulatedUsers(state, fleet)
    with pytest.raises(UsageError):
        run_drill(world, fleet, SimulatedGround(state, fleet, users), users, drill, lambda _event: None)
    assert state.events == []
    assert state.hosts == {}


def test_a_lab_that_was_filled_before_is_given_todays_code_and_no_copies() -> None:
    """What its hosts are set up from may be another since; snapshots and state are still in its vaults."""
    fleet, state = simulated_fleet(), State()
    world, users = simulated_world(state, fleet), SimulatedUsers(state, fleet)
    filled = prepare(world, fleet, users, Drill(simulated=True), lambda _event: None)
    state.events.clear()
    ground = SimulatedGround(state, fleet, users)
    run_drill(world, fleet, ground, users, Drill(simulated=True), lambda _event: None, filled)
    begun = [
        event.data["action"] for event in state.events[: kinds(state.events).index("fault")] if "action" in event.data
    ]
    assert "supplies" in begun
    assert "protect" not in begun


def test_companions_leave_together() -> None:
    """Declared companions are lost on the same day; without any, a spare vault's vendor is."""
    drill = Drill(fault="correlated", simulated=True)
    assert next(e for e in drilled(drill) if e.kind == "fault").data["vendors"] == ["acorn", "cedar"]
    fleet, state = fleet_with("async", acorn=("elm",)), State()
    world, users = simulated_world(state, fleet), SimulatedUsers(state, fleet)
    run_drill(world, fleet, SimulatedGround(state, fleet, users), users, replace(drill, seed=3), lambda _event: None)
    assert next(e for e in state.events if e.kind == "fault").data["vendors"] == ["acorn", "elm"]
    assert judge(as_if_real(state.events)).verdict == "met"


def said_of_takedowns() -> list[str]:
    """A whole drill, judged as if it were real: what stands against it as to takedowns, and nothing else may."""
    verdict = judge(as_if_real(drilled(Drill(simulated=True))))
    assert all(why.startswith("Takedowns") for why in verdict.why), verdict.why
    assert (verdict.takedowns.issued, verdict.verdict) == (7, "missed" if verdict.why else "met")
    return list(verdict.why)


def test_posts_are_taken_down_after_the_snapshot_too() -> None:
    """Five before the snapshot, one after it, one right before the fault; all are known afterwards, and users look for the late ones."""
    events = drilled(Drill(simulated=True))
    told = kinds(events)
    late = [event.data["posts"] for event in events if event.kind == "taken-down"]
    assert late == [["seed6"], ["seed7"]]
    assert told.index("data") < told.index("taken-down")
    assert told[told.index("fault") - 1] == "taken-down"
    seen = next(event.data for event in events if event.kind == "takedowns-seen")
    assert seen == {"asked": ["seed6", "seed7"], "shown": [], "unchecked": []}
    assert said_of_takedowns() == []


def test_a_takedown_that_was_acknowledged_and_is_in_no_vault_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong ship: the moderator is told that it is done, and no vault has it. The new site counts fewer, and users see both posts."""

    def early(state: State, host: Host, row: str) -> None:
        if row in {"seed6", "seed7"}:
            host.hidden.add(row)
        else:
            record_takedown(state, host, row)

    monkeypatch.setattr("resilience.simulation.users.record_takedown", early)
    assert said_of_takedowns() == [
        "Takedowns: of 7 that were acknowledged, the ledger knows 5.",
        "Takedowns: users see 2 taken-down posts again.",
    ]


def test_an_app_that_shows_what_it_counts_as_gone_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong app: nothing is back, it says, and users find the post that was taken down last."""
    count = SimApp.facts

    def wrong(app: SimApp, outputs: SiteOutputs) -> Mapping[str, Any]:
        told = count(app, outputs)
        app.sim.hosts[outputs.site].hidden -= {"seed7"}
        return {**told, "takedowns": {**told["takedowns"], "resurrected": []}}

    monkeypatch.setattr(SimApp, "facts", wrong)
    assert said_of_takedowns() == ["Takedowns: users see 1 taken-down post again."]
