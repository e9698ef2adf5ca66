"""Hazards by name, what changed since a plan was read, and what a plan would take and lose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from resilience.decide import plan_failover, plan_protect, plan_vaults
from resilience.decide.difference import differences
from resilience.decide.forecast import forecast
from resilience.errors import Refused, ResilienceError, TooFewVaults
from resilience.model import (
    EpochRecord,
    Fleet,
    LegalOrder,
    Past,
    PastRun,
    Plan,
    Point,
    Replication,
    SiteReading,
    Stage,
    Survey,
    Unknown,
    VaultReading,
)
from resilience.model.fleet import Durability
from resilience.render import plan_text
from resilience.simulation import simulated_fleet

FLEET = simulated_fleet()
OLD = EpochRecord(1, "acorn", "n" * 32, 0, ("birch", "cedar", "elm"), 2, 2, 0.0, "key", "signed")
NEWER = replace(OLD, number=2, parent=1, nonce="m" * 32)
LABEL = "label/00000001/0000000001000028-abc123ffff.json"
RAN = PastRun("failover", "birch", {"decide": 1.0, "provision": 12.0, "data": 7.0, "name": 25.0}, 0.2, 3, 0)
PAST = Past((RAN,), frozenset({("elm", "abc123")}))


def survey(*silent: str, past: Past = PAST, orders: tuple[LegalOrder, ...] = ()) -> Survey:
    """Every vault shows the epoch and a snapshot, but those that are silent."""
    no = Unknown("it does not answer")
    readings = {
        v.name: VaultReading(no, no, no) if v.name in silent else VaultReading(OLD, LABEL, 3) for v in FLEET.vaults
    }
    return Survey(0.0, {v.name: True for v in FLEET.vendors}, readings, past=past, orders=orders)


def named(plan: Plan) -> set[str]:
    """Its hazards."""
    return {hazard.name for hazard in plan.hazards}


def test_a_rehearsed_fleet_has_few() -> None:
    """A target where it worked before and a snapshot that was read back are no hazard."""
    assert named(plan_failover(FLEET, survey())) == {"loses-writes", "no-spare-vault", "old-name-served"}


def test_a_vault_that_is_silent_is_named() -> None:
    """It stays in the set, since it may come back; whoever knows better says that its vendor is lost."""
    plan = plan_failover(FLEET, survey("elm"))
    assert "elm would be in the vault set" in next(h.why for h in plan.hazards if h.name == "silent-vault")
    assert "silent-vault" not in named(plan_failover(FLEET, survey("elm"), declared=frozenset({"elm"})))


def test_commits_that_waited_are_not_lost() -> None:
    """In a quorum fleet no write is given up beforehand; a picture may be, for no commit waits for one."""
    quorum = replace(FLEET, replication=Replication(k=2, s=2, durability="quorum"))
    assert named(plan_failover(quorum, survey())) == {"loses-pictures", "no-spare-vault", "old-name-served"}
    forced = plan_failover(quorum, survey("birch", "cedar"), force=True)
    assert named(forced).isdisjoint({"loses-pictures"}), "who accepts the loss of writes accepts that of pictures"


@pytest.mark.parametrize(
    ("past", "hazard"),
    [
        (replace(PAST, runs=()), "never-run-here"),
        (replace(PAST, runs=(replace(RAN, target="cedar"),)), "never-run-here"),
        (replace(PAST, runs=(replace(RAN, kind="up"),)), "never-run-here"),
        (replace(PAST, verified=frozenset()), "unverified-copy"),
        (replace(PAST, verified=frozenset({("elm", "another")})), "unverified-copy"),
    ],
)
def test_what_was_never_tried_is_a_hazard(past: Past, hazard: str) -> None:
    """Another site, another snapshot, or only having been made there once, proves nothing for this plan."""
    assert hazard in named(plan_failover(FLEET, survey(past=past)))


def test_an_order_is_a_hazard_with_its_reference() -> None:
    """Whoever signs off has to name it."""
    order = LegalOrder("12 O 34/26", "District Court", "2026-11-20", "acorn", ("17",))
    plan = plan_failover(FLEET, survey(orders=(order,)))
    found = next(hazard for hazard in plan.hazards if hazard.name == "legal-order")
    assert found.reference == "12 O 34/26"
    assert "District Court" in found.why


def test_without_the_old_quorum_only_by_force_and_by_name() -> None:
    """One vault of three left: refused; forced, the plan names what both sites may do to each other."""
    seen = survey("birch", "cedar")
    with pytest.raises(TooFewVaults, match="--force"):
        plan_failover(FLEET, seen)
    forced = plan_failover(FLEET, seen, force=True)
    assert {"split-brain", "loses-writes", "stale-ledger"} <= named(forced)
    assert next(step for step in forced.steps if step.action == "seal").args["forced"] is True


def test_an_epoch_that_its_host_may_still_be_under_needs_its_own_quorum() -> None:
    """The newest set could seal; ship may not have turned from the one before, whose vaults are gone but for one."""
    before = replace(OLD, vaults=("birch", "fir", "gone"))
    seen = replace(survey(), older=((before, 2),))
    with pytest.raises(TooFewVaults, match=r"Only 1 of the 2 .*may not have turned from epoch 1 yet") as raised:
        plan_failover(FLEET, replace(seen, vaults={n: replace(r, epoch=NEWER) for n, r in seen.vaults.items()}))
    assert "--force" in str(raised.value)
    forced = plan_failover(FLEET, seen, force=True)
    assert "Only 1 of the 2 vaults needed" in next(h.why for h in forced.hazards if h.name == "split-brain")


def test_force_changes_nothing_where_it_is_not_needed() -> None:
    """The very same plan, with no word of split-brain."""
    assert plan_failover(FLEET, survey(), force=True) == plan_failover(FLEET, survey())


def test_nothing_can_be_forced_from_nothing() -> None:
    """No vault of the old set left: there is nothing to restore from either."""
    with pytest.raises(ResilienceError, match="No vault"):
        plan_failover(FLEET, survey("birch", "cedar", "elm"), force=True)


def test_what_changed_is_said() -> None:
    """A vault that went silent, another target, a held stage: each in a sentence of its own."""
    read = plan_failover(FLEET, survey())
    assert differences(read, read) == ()
    other = plan_failover(FLEET, survey(past=replace(PAST, verified=frozenset())), to="cedar", hold=Stage.WRITES)
    said = differences(read, other)
    assert any(line.startswith("The target is cedar now") for line in said)
    assert any(line.startswith("New hazard: unverified-copy.") for line in said)
    lost = plan_failover(FLEET, survey(), declared=frozenset({"elm"}))
    said = differences(read, lost)
    assert "The set of lost vendors is acorn, elm now; in the plan that was read it was acorn." in said
    assert any("vaults is ['cedar'] now" in line for line in said)
    assert any(line.startswith("New hazard: single-vault-left.") for line in said)


def test_a_forecast_says_what_it_is_known_from() -> None:
    """From runs to that site, else to any, else not at all; the wait for a TTL is added."""
    plan = plan_failover(FLEET, survey())
    here = forecast(FLEET, survey(), plan)
    assert (here.total_s, here.lost_writes, here.lost_s) == (75.0, 3, 0.2)
    assert "1 earlier run to birch" in here.basis
    elsewhere = forecast(FLEET, survey(past=replace(PAST, runs=(replace(RAN, target="cedar"),))), plan)
    assert "Nobody ever went to birch" in elsewhere.basis
    nothing = forecast(FLEET, survey(past=Past()), plan)
    assert (nothing.total_s, nothing.lost_writes) == (None, None)


def test_a_forecast_counts_objects() -> None:
    """The most that any run to that site lost; none where nothing can be lost; for a restore, or without a run, unknown."""
    runs = (replace(RAN, lost_objects=2), replace(RAN, lost_objects=7), replace(RAN, lost_objects=None))
    seen, plan = survey(past=replace(PAST, runs=runs)), plan_failover(FLEET, survey())
    found = forecast(FLEET, seen, plan)
    assert found.lost_objects == found.to_json()["lost_objects"] == 7
    assert "and 7 pictures" in plan_text(plan, expected=found)
    unknown = forecast(FLEET, survey(past=replace(PAST, runs=(replace(RAN, lost_objects=None),))), plan)
    assert unknown.lost_objects is None
    assert "7 pictures" not in plan_text(plan, expected=unknown)
    quorum = replace(FLEET, replication=replace(FLEET.replication, durability="quorum"))
    waited = forecast(quorum, seen, plan_failover(quorum, survey()))
    assert (waited.lost_writes, waited.lost_objects) == (0, 7)
    assert forecast(quorum, seen, replace(plan, kind="switchover", hazards=())).lost_objects == 0
    point = Point(1, "0/19", 5.0, "abc123", 1, "0/40", 9.0)
    assert forecast(FLEET, seen, plan, point).lost_objects is None


def test_a_forecast_believes_the_old_site_s_own_ship_first() -> None:
    """Where it still says how far the vaults are behind, that is what would be lost."""
    ship = SiteReading(None, serving=True, ship={"lag_seconds": 1.5})
    seen = replace(survey(), sites={"acorn": ship})
    found = forecast(FLEET, seen, plan_failover(FLEET, survey()))
    assert found.lost_s == 1.5
    assert "1.5 s behind" in found.basis


def test_a_forecast_is_no_part_of_the_plan() -> None:
    """Seconds pass between reading a plan and approving it; its digest stays."""
    assert plan_failover(FLEET, survey()).digest == plan_failover(FLEET, replace(survey(), at=99.0)).digest


HOLE = {"from": "0/1000", "until": "0/2000", "since": 0.0}


@pytest.mark.parametrize(
    "plan",
    [
        lambda seen: plan_vaults(FLEET, seen, without=frozenset({"birch"})),
        lambda seen: plan_protect(FLEET, seen, declared=frozenset({"birch"})),
    ],
    ids=["vaults", "protect"],
)
def test_a_set_that_ship_could_not_turn_to_is_refused(plan: Callable[[Survey], Plan]) -> None:
    """One vault was left behind once: without birch only cedar has everything, and two must. Filled, it is planned."""

    def seen(hole: Mapping[str, Any] | None) -> Survey:
        holes = {"birch": None, "cedar": None, "elm": hole}
        said = {"vaults": {name: {"hole": lacks} for name, lacks in holes.items()}}
        return replace(survey(), sites={"acorn": SiteReading(None, serving=True, ship=said)})

    told = refusal_or_hazard(lambda: plan(seen(HOLE)))
    assert "elm lacks 0/1000 to 0/2000" in told
    assert "`resilience catch-up elm`" in told
    assert any(step.action == "turn" for step in plan(seen(None)).steps)


@pytest.mark.parametrize("plan", [plan_vaults, plan_protect], ids=["vaults", "protect"])
def test_a_vault_that_was_left_behind_is_filled_where_the_set_changes(plan: Callable[[Fleet, Survey], Plan]) -> None:
    """Two of those that stay have everything, so ship goes on; under the new epoch it knows no more what elm lacks."""
    fleet = replace(FLEET, vaults=(*FLEET.vaults, replace(FLEET.vaults[0], name="dover", vendor="dover")))

    def filled(*holed: str, silent: Sequence[str] = ()) -> list[list[str]]:
        seen = with_ship(survey(*silent), *holed)
        return [step.args["vaults"] for step in plan(fleet, seen).steps if step.action == "fill"]

    assert filled() == [["dover"]]
    assert filled("elm") == [["dover", "elm"]]
    assert filled("elm", silent=["elm"]) == [["dover"]], "who is silent keeps nobody from being filled"


@pytest.mark.parametrize("plan", [plan_vaults, plan_protect], ids=["vaults", "protect"])
def test_a_vault_that_was_emptied_and_counts_all_the_same_is_filled_where_the_set_changes(
    plan: Callable[[Fleet, Survey], Plan],
) -> None:
    """Too few others were whole to leave it behind, so ship goes on; under the new epoch nobody knows that it lacks anything."""
    fleet = replace(FLEET, vaults=(*FLEET.vaults, replace(FLEET.vaults[0], name="dover", vendor="dover")))
    said = {"vaults": {name: {"hole": None, "emptied": name == "elm"} for name in OLD.vaults}}
    seen = replace(survey(), sites={"acorn": SiteReading(None, serving=True, ship=said)})
    assert [step.args["vaults"] for step in plan(fleet, seen).steps if step.action == "fill"] == [["dover", "elm"]]


def refusal_or_hazard(plan: Callable[[], Plan]) -> str:
    """What says that the set does not change: nothing is done where that was all, and all else is done where it was not."""
    try:
        found = plan()
    except Refused as refused:
        return str(refused)
    actions = [step.action for step in found.steps]
    assert not {"seal", "turn"} & {*actions}
    assert {"point", "protect"} <= {*actions}, "users come first, whatever a vault lacks"
    return next(hazard.why for hazard in found.hazards if hazard.name == "set-stays")


def with_ship(seen: Survey, *holed: str, gap: Mapping[str, Any] | None = None) -> Survey:
    """The same, with what acorn's ship says: which vaults were left behind once, and what WAL nobody has."""
    said = {"gap": gap, "vaults": {name: {"hole": HOLE if name in holed else None} for name in OLD.vaults}}
    return replace(seen, sites={"acorn": SiteReading(None, serving=True, ship=said)})


def forced_set(plan: Plan) -> tuple[list[str], int]:
    """The set that a plan seals, and by how many of it commits are confirmed."""
    sealed = next(step for step in plan.steps if step.action == "seal")
    return sealed.args["vaults"], sealed.args["k"]


def test_a_forced_set_is_of_the_vaults_that_have_everything() -> None:
    """Two are left, and elm was left behind once: users don't wait for a snapshot while cedar alone can be gone on from."""
    three = replace(OLD, s=3)
    readings = {name: replace(one, epoch=three) for name, one in survey().vaults.items() if name != "birch"}
    seen = replace(survey("birch"), vaults={**survey("birch").vaults, **readings})
    assert forced_set(plan_protect(FLEET, with_ship(seen), force=True)) == (["cedar", "elm"], 2)
    plan = plan_protect(FLEET, with_ship(seen, "elm"), force=True)
    assert forced_set(plan) == (["cedar"], 1)
    assert "single-vault-left" in named(plan)
    assert "no-copy-yet" not in named(plan)


@pytest.mark.parametrize(("holed", "gap"), [(("elm",), None), ((), HOLE)], ids=["hole", "gap"])
def test_where_no_vault_that_is_left_has_everything_it_is_accepted_by_name(
    holed: tuple[str, ...], gap: Mapping[str, Any] | None
) -> None:
    """The host alone has the database until the plan's own snapshot; a vault that was left behind is given what others still have."""
    gone = survey("birch", "cedar")
    assert "no-copy-yet" not in named(plan_protect(FLEET, with_ship(gone), force=True))
    plan = plan_protect(FLEET, with_ship(gone, *holed, gap=gap), force=True)
    assert forced_set(plan) == (["elm"], 1)
    assert "0/1000 to 0/2000" in next(hazard.why for hazard in plan.hazards if hazard.name == "no-copy-yet")
    actions = [step.action for step in plan.steps]
    assert actions.index("turn") < actions.index("protect")
    assert [step.args["vaults"] for step in plan.steps if step.action == "fill"] == ([["elm"]] if holed else [])


def test_a_forced_set_that_the_host_has_not_heard_of_names_it_too() -> None:
    """Its ship says under the epoch before what elm lacks: another machine tells it, and that is accepted there."""
    forced = replace(NEWER, vaults=("elm",), k=1, s=1)
    gone = survey("birch", "cedar")
    seen = replace(gone, vaults={**gone.vaults, "elm": replace(gone.vaults["elm"], epoch=forced)})
    assert "no-copy-yet" in named(plan_protect(FLEET, with_ship(seen, "elm"), force=True))
    assert "no-copy-yet" not in named(plan_protect(FLEET, with_ship(seen), force=True))


def test_a_ship_that_says_nothing_promises_no_copy() -> None:
    """Whether a vault that is left lacks anything is not known: forced, that is accepted like a hole."""
    why = next(
        h.why for h in plan_protect(FLEET, survey("birch", "cedar"), force=True).hazards if h.name == "no-copy-yet"
    )
    assert "does not say" in why


@pytest.mark.parametrize(
    ("seen", "force"), [(survey(), False), (survey("birch", "cedar"), True)], ids=["as it is", "forced"]
)
def test_where_commits_wait_for_a_copy_it_is_taken_before_anybody_writes(seen: Survey, *, force: bool) -> None:
    """A user's journey ends with a post: in quorum that waits for the snapshot, and the plan would stop before it takes one."""

    def order(durability: Durability, gap: Mapping[str, Any] | None) -> list[str]:
        fleet = replace(FLEET, replication=replace(FLEET.replication, durability=durability))
        actions = [step.action for step in plan_protect(fleet, with_ship(seen, gap=gap), force=force).steps]
        return [action for action in actions if action in {"turn", "verify", "protect", "sealable"}]

    turn = ["turn"] if force else []
    assert order("quorum", HOLE) == [*turn, "protect", "verify", "sealable"]
    assert order("quorum", None) == order("async", HOLE) == [*turn, "verify", "protect", "sealable"], "users come first"


def test_a_ship_that_says_nothing_is_asked_once_it_turned() -> None:
    """Users come first, unless it says by then that every post would wait for a copy; a vault without pictures alone makes none wait."""
    quorum = replace(FLEET, replication=replace(FLEET.replication, durability="quorum"))

    def order(fleet: Fleet, seen: Survey) -> list[str]:
        actions = [step.action for step in plan_protect(fleet, seen, force=True).steps]
        return [action for action in actions if action in {"turn", "bridge", "verify", "protect"}]

    gone = survey("birch", "cedar")
    assert order(quorum, gone) == ["turn", "bridge", "verify", "protect"]
    assert order(FLEET, gone) == order(quorum, with_ship(gone)) == ["turn", "verify", "protect"]
    assert order(quorum, with_ship(gone, "elm")) == ["turn", "protect", "verify"]
    told = {"gap": None, "vaults": {"elm": {"hole": {**HOLE, "until": HOLE["from"]}}}}
    pictures = replace(gone, sites={"acorn": SiteReading(None, serving=True, ship=told)})
    assert order(quorum, pictures) == ["turn", "verify", "protect"]
