"""Wrong engines, kept: for each there is a named invariant that catches it, and the right engine passes there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from resilience.decide import failover as deciding
from resilience.engine.drill import Drill
from resilience.engine.run import Run
from resilience.engine.steps import ACTIONS, Action
from resilience.errors import ResilienceError
from resilience.judge import judge
from resilience.model import EpochRecord, Event, Plan, Step, Vendor, Verdict
from resilience.model import Stage as Gate
from resilience.ports import Vault
from resilience.replication import anchors
from resilience.replication.anchors import Ledgers
from resilience.replication.seals import Verify
from resilience.simulation import simulated_fleet
from tests.journals import healthy, without
from tests.sim.drills import as_if_real, run
from tests.sim.fleets import MORE_VAULTS
from tests.sim.invariants import Violated
from tests.sim.stage import Stage, attempt, begun, day_one

Patch = pytest.MonkeyPatch


def lost(**companions: tuple[str, ...]) -> Stage:
    """The primary's vendor closed the account, and its host lives on."""
    stage = day_one(**companions)  # type: ignore[arg-type]
    stage.state.lose("acorn", hosts=False)
    return stage


def moved(plan: Plan, action: str, behind: str) -> Plan:
    """The same plan with one step later than it should be."""
    step = next(s for s in plan.steps if s.action == action)
    rest = [s for s in plan.steps if s is not step]
    at = max(i for i, s in enumerate(rest) if s.action == behind) + 1
    return replace(plan, steps=(*rest[:at], step, *rest[at:]))


def caught_by(stage: Stage, command: Callable[[], None]) -> str:
    """The invariant that stops this command; empty where none does."""
    try:
        attempt(command)
    except Violated as violated:
        return str(violated).split(":")[0]
    return ""


def test_the_right_engine_is_not_caught() -> None:
    """The very stages that catch the mutants let the engine through."""
    for stage in (lost(), lost(acorn=("birch",))):
        assert caught_by(stage, stage.operator.failover) == ""
        assert stage.post(1) == 1


def test_verify_after_the_name_moves() -> None:
    """Users would be led to a site that nobody looked at."""
    stage = lost()
    stage.operator.change = lambda plan: moved(plan, "point", behind="ledger")
    assert caught_by(stage, stage.operator.failover) == "name_moves_after_verify"


def test_a_gate_opens_before_anybody_looked(monkeypatch: Patch) -> None:
    """Whoever has the address could read, or write, at a site that nobody looked at."""
    stage = lost()
    monkeypatch.setattr("resilience.engine.steps.start._refuse_unmet", lambda *_: None)
    stage.operator.change = lambda plan: moved(plan, "verify", behind="open")
    assert caught_by(stage, stage.operator.failover) == "opened_after_verify"


def test_the_ledger_replayed_after_the_gate_opens(monkeypatch: Patch) -> None:
    """What was taken down could be read for a moment, where a gate opens without a look at what was found."""
    stage = lost()
    monkeypatch.setattr("resilience.engine.steps.start._refuse_unmet", lambda *_: None)
    stage.operator.change = lambda plan: moved(moved(plan, "ledger", behind="open"), "fetch", behind="open")
    assert caught_by(stage, stage.operator.failover) == "taken_down_stays_down"


def test_the_seal_left_out(monkeypatch: Patch) -> None:
    """An epoch that lies in no vault fences nobody."""
    stage = lost()
    forged: dict[str, EpochRecord] = {}

    def no_seal(run: Run, step: Step) -> Mapping[str, Any]:
        forged["it"] = EpochRecord(2, step.subject, "n" * 32, 1, ("cedar", "elm"), 2, 2, 0.0, "key", "signed")
        return {"epoch": 2}

    monkeypatch.setitem(ACTIONS, "seal", no_seal)
    monkeypatch.setattr(Run, "epoch", lambda _self, _site: forged["it"])
    assert caught_by(stage, stage.operator.failover) == "sealed_before_promoted"


def test_the_lease_not_waited_for(monkeypatch: Patch) -> None:
    """The old site, cut off from the vaults, writes until its lease runs out."""
    stage = lost()
    stage.state.pace = 0.0
    acorn = stage.state.hosts["acorn"]

    def part(door: str) -> None:
        if door.endswith("put_new"):
            acorn.cut_off = set(stage.state.vaults)

    stage.state.watchers.append(part)
    monkeypatch.setitem(ACTIONS, "lease", lambda _run, _step: {"waited_s": 0})
    assert caught_by(stage, stage.operator.failover) == "one_writer"


@pytest.mark.parametrize(
    ("door", "invariant"),
    [
        ("plane.birch.restore", "name_moves_after_verify"),
        ("plane.birch.recover", "name_moves_after_verify"),
        ("plane.birch.start_ship", "name_moves_after_verify"),
        ("app.birch.replay_ledger", "name_moves_after_verify"),
        ("app.birch.start", "name_moves_after_verify"),
        ("app.birch.facts", "name_moves_after_verify"),
    ],
)
def test_a_failed_step_ignored(monkeypatch: Patch, door: str, invariant: str) -> None:
    """Going on after a failure does harm, whichever step it was."""
    stage = lost()
    for action, real in list(ACTIONS.items()):
        monkeypatch.setitem(ACTIONS, action, partial(careless, real))
    stage.break_next(door)
    assert caught_by(stage, stage.operator.failover) == invariant


def careless(real: Action, run: Run, step: Step) -> Mapping[str, Any]:
    """The step as it is, with its failure hidden."""
    try:
        return real(run, step)
    except ResilienceError:
        return {}


def test_a_target_at_a_companion_of_the_lost(monkeypatch: Patch) -> None:
    """The vendor that leaves on the same day is no place to go."""
    stage = lost(acorn=("birch",))
    monkeypatch.setattr(deciding, "lost_vendors", lambda _fleet, _survey, _declared: frozenset({"acorn"}))
    monkeypatch.setattr("tests.sim.stage.lost_vendors", lambda _fleet, _survey, _declared: frozenset())
    assert caught_by(stage, stage.operator.failover) == "target_is_not_lost"


def test_the_target_keeps_a_vault_of_its_own(monkeypatch: Patch) -> None:
    """A copy at the primary's vendor is lost together with it."""
    stage = lost()
    whole = type(stage.fleet).vaults_for
    monkeypatch.setattr(
        type(stage.fleet), "vaults_for", lambda self, _primary, dead=frozenset(): whole(self, "acorn", dead)
    )
    assert caught_by(stage, stage.operator.failover) == "epochs_are_sound"


def test_a_dead_vault_is_asked(monkeypatch: Patch) -> None:
    """A World that still has the doors of lost vendors calls them."""
    stage = lost()
    stage.state.lose("elm")
    monkeypatch.setattr(type(stage.world), "without", lambda self, *_, **__: self)
    assert caught_by(stage, stage.operator.failover) == "nobody_calls_the_dead"


def between() -> Stage:
    """A takedown that two vaults hold; birch was opened, and died before its app handed the ledger over; then both are lost."""
    base = simulated_fleet()
    more = tuple(replace(base.vaults[-1], name=name, vendor=name) for name in MORE_VAULTS)
    known = {vendor.name for vendor in base.vendors}
    vendors = (*base.vendors, *(Vendor(v.name, account=v.endpoint) for v in more if v.name not in known))
    stage = begun(replace(base, vendors=vendors, vaults=(*base.vaults, *more)))
    acorn = stage.state.hosts["acorn"]
    acorn.cut_off = {"cedar", "elm", "dover"}
    stage.take_down("acorn", "post5")
    assert "post5" in stage.state.taken_down
    stage.state.lose("acorn")
    stage.break_next("plane.birch.start_ship", how="killed")
    assert attempt(partial(stage.operator.failover, to="birch", lost=("acorn",))) == "killed at plane.birch.start_ship"
    stage.state.lose("birch")
    stage.state.lose("fir")
    return stage


def away(stage: Stage) -> None:
    """From what is left, to the next site."""
    stage.operator.failover(to="cedar", lost=("acorn", "birch", "fir"), anew=True)


def parent_s_alone(monkeypatch: Patch, *where: str) -> None:
    """An engine that asks for what its parent's vaults hold, and for nothing before that."""

    def asked(
        vaults: Mapping[str, Vault],
        _keys: object,
        newest: int,
        check: Verify,
        known: Sequence[EpochRecord] = (),
    ) -> Ledgers:
        return Ledgers(tuple(anchors.of_number(vaults, newest, check, known)))

    for name in where:
        monkeypatch.setattr(name, asked)


def test_takedowns_of_an_epoch_before_the_last_one_are_asked_for() -> None:
    """The plan says that some would be missed, and is not accepted."""
    stage = between()
    assert "stale-ledger" in str(attempt(partial(away, stage)))


def test_the_anchor_stops_where_the_plan_said_nothing(monkeypatch: Patch) -> None:
    """Whoever looks before the site is opened sees it again."""
    stage = between()
    parent_s_alone(monkeypatch, "resilience.engine.observe.to_ask")
    said = attempt(partial(away, stage))
    assert said is not None
    assert said.startswith("TooFewVaults: Not every vault says what was taken down")
    assert not stage.state.hosts["cedar"].stage.covers(Gate.READ_ONLY)


def test_the_ledger_asked_of_the_last_epoch_alone(monkeypatch: Patch) -> None:
    """What was taken down in the one before is shown again, and nobody is told."""
    stage = between()
    parent_s_alone(monkeypatch, "resilience.engine.observe.to_ask", "resilience.replication.anchors.to_ask")
    assert caught_by(stage, partial(away, stage)) == "taken_down_stays_down"


def unproven_is_never_met(judging: Callable[[list[Event]], Verdict]) -> bool:
    """The judge's invariant: take any proof away, or call it simulated, and the verdict is not met."""
    proofs = ("acknowledged", "writes-checked", "media-checked", "takedowns-checked", "fence", "blackhole", "data")
    journals = [without(healthy(), kind) for kind in proofs]
    return all(judging(events).verdict != "met" for events in journals)


def test_unknown_counted_as_met() -> None:
    """A judge that takes a missing proof for a good sign is caught; the judge we have is not."""

    def lenient(events: list[Event]) -> Verdict:
        verdict = judge(events)
        return replace(verdict, verdict="met") if verdict.verdict == "unknown" else verdict

    assert unproven_is_never_met(judge)
    assert not unproven_is_never_met(lenient)


def test_a_simulated_drill_counted_as_met() -> None:
    """Only the word that it was simulated stands between such a drill and a pass: it must hold."""
    events = run(Drill(simulated=True))
    assert judge(as_if_real(events)).verdict == "met"
    assert judge(events).verdict == "unknown"
