"""Decide: the same facts give the same plan, and no plan leans on what is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from resilience.decide import lost_vendors, next_set, plan_failover, plan_protect, plan_up, plan_vaults
from resilience.errors import FleetError, Refused, ResilienceError, TooFewVaults, UsageError
from resilience.model import (
    EpochRecord,
    Fleet,
    Names,
    Plan,
    Promise,
    Replication,
    Site,
    SiteReading,
    Survey,
    Unknown,
    VaultReading,
    VaultSpec,
    Vendor,
    ZoneSpec,
    newest_first,
)
from resilience.simulation import simulated_fleet

FLEET = simulated_fleet()
URL = "http://simulated.invalid"
NAMES = [f"v{n}" for n in range(8)]


def epoch(number: int = 1, site: str = "acorn", vaults: tuple[str, ...] = ("birch", "cedar", "elm")) -> EpochRecord:
    """An epoch as the vaults show it."""
    return EpochRecord(number, site, "n" * 32, number - 1, vaults, 2, 2, 0.0, "key", "signed")


def survey(fleet: Fleet = FLEET, newest: EpochRecord | None = None, **silent: str) -> Survey:
    """Every vault shows this epoch, but those that say why not."""
    shown = newest or epoch()
    readings = {
        v.name: VaultReading(Unknown(silent[v.name]), Unknown(silent[v.name]), Unknown(silent[v.name]))
        if v.name in silent
        else VaultReading(shown, None, 3)
        for v in fleet.vaults
    }
    return Survey(0.0, {v.name: True for v in fleet.vendors}, readings)


def actions(plan: Plan) -> list[str]:
    """What it does, in order."""
    return [step.action for step in plan.steps]


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """Any fleet that `check` would let through."""
    vendors = NAMES[: draw(st.integers(4, 8))]
    sites = draw(st.lists(st.sampled_from(vendors), min_size=2, max_size=4, unique=True))
    others = [v for v in vendors if v != sites[0]]
    vaults = draw(st.lists(st.sampled_from(others), min_size=2, max_size=6, unique=True))
    n = len(vaults)
    s = draw(st.integers(n // 2 + 1, n))
    k = draw(st.integers(n - s + 1, n))
    companions = {v: draw(st.sets(st.sampled_from(vendors), max_size=1)) - {v} for v in vendors}
    return Fleet(
        name="any",
        app="plaza",
        vendors=tuple(Vendor(v, companions=tuple(sorted(companions[v]))) for v in vendors),
        sites=tuple(Site(v, v, "lab") for v in sites),
        vaults=tuple(VaultSpec(v, v, "s3", URL, "vault") for v in vaults),
        names=Names("any.test", 30, tuple(ZoneSpec(v, "powerdns", URL) for v in vendors[:2])),
        promise=Promise(90, 2),
        replication=Replication(k, s),
    )


@st.composite
def losses(draw: st.DrawFn) -> tuple[Fleet, Survey, frozenset[str]]:
    """A fleet, what is seen of it, and the vendors that somebody declares lost."""
    fleet = draw(fleets())
    names = [v.name for v in fleet.vendors]
    chosen = next_set(fleet, fleet.primary.name, frozenset())
    shown = EpochRecord(1, fleet.primary.name, "n", 0, chosen.vaults, chosen.k, chosen.s, 0.0, "key", "signed")
    seen = survey(
        fleet, shown, **dict.fromkeys(draw(st.sets(st.sampled_from(chosen.vaults), max_size=1)), "it is silent")
    )
    answers: tuple[bool | Unknown, ...] = (True, True, True, False, Unknown("no answer"))
    accounts = {v: draw(st.sampled_from(answers)) for v in names}
    declared = frozenset(draw(st.sets(st.sampled_from(names), max_size=2)))
    return fleet, Survey(0.0, accounts, seen.vaults), declared


@given(fleets(), st.data())
def test_every_next_set_fences(fleet: Fleet, data: st.DataObject) -> None:
    """Its quorums meet, and no vault of it is at the primary's vendor or at a lost one."""
    lost = frozenset(data.draw(st.sets(st.sampled_from([v.name for v in fleet.vendors]))))
    primary = data.draw(st.sampled_from([s.name for s in fleet.sites]))
    try:
        found = next_set(fleet, primary, lost)
    except TooFewVaults:
        assert not fleet.vaults_for(primary, lost)
        return
    n = len(found.vaults)
    assert 1 <= found.k <= n
    assert found.s <= n
    assert found.k + found.s > n
    assert 2 * found.s > n
    assert {fleet.vault(v).vendor for v in found.vaults}.isdisjoint({fleet.site(primary).vendor, *lost})


@given(losses())
def test_no_plan_leans_on_what_is_lost(case: tuple[Fleet, Survey, frozenset[str]]) -> None:
    """Neither its target, nor a vault, nor a zone is at a lost vendor or at a companion of one."""
    fleet, seen, declared = case
    try:
        plan = plan_failover(fleet, seen, declared=declared)
    except ResilienceError:
        return
    event("planned")
    closed = {name for name, is_open in seen.accounts.items() if is_open is False}
    direct = closed | declared | {fleet.primary.vendor}
    gone = direct | {c for v in fleet.vendors if v.name in direct for c in v.companions}
    assert fleet.site(plan.target).vendor not in gone
    assert set(plan.lost) == gone
    for step in plan.steps:
        assert not {fleet.vault(v).vendor for v in step.args.get("vaults", ())} & gone
        assert step.action != "point" or step.subject not in gone


@given(losses())
def test_the_same_facts_give_the_same_plan(case: tuple[Fleet, Survey, frozenset[str]]) -> None:
    """And so the same digest, which survives the journal."""
    fleet, seen, declared = case
    try:
        one, two = (plan_failover(fleet, seen, declared=declared) for _ in range(2))
    except ResilienceError:
        return
    assert one == two
    assert one.digest == two.digest
    assert Plan.from_json(one.to_json()) == one
    assert Plan.from_json(one.to_json()).digest == one.digest


@given(losses(), st.sampled_from(NAMES))
def test_what_cannot_be_meant_is_refused_in_words(case: tuple[Fleet, Survey, frozenset[str]], to: str) -> None:
    """Any target: a plan to it, or an error that says what, why and what next; never anything else."""
    fleet, seen, declared = case
    said: ResilienceError | None = None
    try:
        assert plan_failover(fleet, seen, to=to, declared=declared).target == to
    except ResilienceError as error:
        said = error
    assert said is None or all((said.what, said.why, said.next))


def test_the_order_is_the_safe_one() -> None:
    """Seal first; takedowns and the lease before the app starts; verify before the name; protect at the end."""
    order = actions(plan_failover(FLEET, survey()))
    assert order[0] == "seal"
    for one, two in (
        ("seal", "restore"),
        ("restore", "recover"),
        ("recover", "ship"),
        ("ship", "start"),
        ("ledger", "start"),
        ("lease", "start"),
        ("recover", "first"),
        ("first", "ledger"),
        ("first", "verify"),
        ("start", "verify"),
        ("verify", "point"),
        ("open", "media"),
        ("point", "confirm"),
        ("confirm", "protect"),
    ):
        assert order.index(one) < order.index(two), (one, two)


def test_quorum_needs_no_lease_and_loses_nothing() -> None:
    """Commits that wait for the vaults are fenced by the seal itself."""
    rules = Replication(2, 2, durability="quorum")
    plan = plan_failover(simulated_fleet(rules), survey())
    assert "lease" not in actions(plan)
    assert "loses-writes" not in {h.name for h in plan.hazards}


def test_the_next_site_in_order_is_the_target() -> None:
    """Unless another one is asked for."""
    assert plan_failover(FLEET, survey()).target == "birch"
    assert plan_failover(FLEET, survey(), to="cedar").target == "cedar"
    assert plan_failover(FLEET, survey(), declared=frozenset({"birch"})).target == "cedar"


@pytest.mark.parametrize("to", ["acorn", "elm", "nowhere"])
def test_an_impossible_target_is_named(to: str) -> None:
    """The current primary, a vendor without a site, and a name that is none."""
    with pytest.raises(UsageError, match=to):
        plan_failover(FLEET, survey(), to=to)


def test_too_few_vaults_to_seal() -> None:
    """Below the old set's s nothing is planned; the silent ones are named with their reasons."""
    with pytest.raises(TooFewVaults, match="it is on fire") as raised:
        plan_failover(FLEET, survey(birch="it is on fire", cedar="it fell over"))
    assert "Nothing was promoted" in raised.value.next


def test_no_epoch_no_failover() -> None:
    """Where nothing was ever shipped there is nothing to fail over from."""
    silent = survey(birch="?", cedar="?", elm="?")
    with pytest.raises(ResilienceError, match="No vault shows an epoch"):
        plan_failover(FLEET, silent)


def test_companions_are_lost_too() -> None:
    """A vendor that leaves takes its companions along, as far as plans go."""
    vendors = (Vendor("acorn", URL, companions=("birch",)), *FLEET.vendors[1:])
    fleet = Fleet(**{**{f: getattr(FLEET, f) for f in FLEET.__dataclass_fields__}, "vendors": vendors})
    assert lost_vendors(fleet, survey(fleet), frozenset({"acorn"})) == {"acorn", "birch"}
    assert plan_failover(fleet, survey(fleet)).target == "cedar"


def test_hazards_say_what_is_at_stake() -> None:
    """One vault left, a ledger nobody can read whole, no DNS vendor: each is a hazard with its own name."""
    names = {h.name for h in plan_failover(FLEET, survey()).hazards}
    assert names == {"loses-writes", "never-run-here", "no-spare-vault", "old-name-served", "unverified-copy"}
    alone = plan_failover(FLEET, survey(), declared=frozenset({"elm"}))
    assert "single-vault-left" in {h.name for h in alone.hazards}
    unnamed = plan_failover(FLEET, survey(), declared=frozenset({"dover"}))
    assert "name-stays" in {h.name for h in unnamed.hazards}


def test_up_on_the_first_day() -> None:
    """Supplies, the first epoch, the host, a database; the app starts after ship and ledger."""
    empty = Survey(0.0, {}, {v.name: VaultReading(None, None, 0) for v in FLEET.vaults})
    order = actions(plan_up(FLEET, empty, "acorn"))
    for one, two in (
        ("supplies", "shape"),
        ("seal", "create"),
        ("create", "ship"),
        ("ship", "start"),
        ("start", "point"),
    ):
        assert order.index(one) < order.index(two), (one, two)


def test_up_of_another_site_never_opens_it() -> None:
    """While an epoch names acorn, `up birch` makes hosts and no more."""
    assert set(actions(plan_up(FLEET, survey(), "birch"))) == {"provision", "state"}


def test_up_of_the_primary_again_makes_no_database() -> None:
    """Nor does it seal anything; but a failover may have stopped half-way, so leases run out and users go first."""
    order = actions(plan_up(FLEET, survey(), "acorn"))
    assert not {"seal", "create", "restore"} & set(order)
    assert order.index("lease") < order.index("start") < order.index("verify") < order.index("point")


def test_up_refuses_to_begin_blind() -> None:
    """A vault that can't be read might hold an epoch: no first one is made beside it."""
    readings = {v.name: VaultReading(None, None, 0) for v in FLEET.vaults}
    blind = Survey(0.0, {}, {**readings, "elm": VaultReading(Unknown("403"), Unknown("403"), Unknown("403"))})
    with pytest.raises(Refused, match="elm"):
        plan_up(FLEET, blind, "acorn")


def test_up_of_nothing() -> None:
    """A site that is not declared is named, with those that are."""
    with pytest.raises(UsageError, match="nowhere"):
        plan_up(FLEET, survey(), "nowhere")
    assert issubclass(FleetError, UsageError)


def test_of_two_epochs_with_one_number_the_sealed_one_counts() -> None:
    """The one whose vaults hold the other can't have been sealed; it is not taken for the newest."""
    lost = EpochRecord(2, "cedar", "a", 1, ("birch", "elm"), 2, 2, 0.0, "key", "signed")
    won = EpochRecord(2, "birch", "b", 1, ("cedar", "elm"), 2, 2, 0.0, "key", "signed")
    assert newest_first({"birch": lost, "cedar": won, "elm": won}) == [won]
    assert newest_first({"birch": lost, "cedar": epoch(1), "elm": epoch(1)}) == [lost]
    undecided = newest_first({"birch": lost, "cedar": won})
    assert {record.nonce for record in undecided} == {"a", "b"}
    assert newest_first({}) == []


def test_a_vendor_that_is_not_the_primarys_moves_nobody() -> None:
    """Users are looked after first, through the zones that are left; then copies, where vaults are left."""
    plan = plan_protect(FLEET, survey(), declared=frozenset({"elm"}))
    assert plan.source == plan.target == "acorn"
    before, after = ["verify", "point", "point", "confirm"], ["protect", "sealable", "state", "stand-by"]
    assert actions(plan) == [*before, "seal", "turn", *after]
    assert plan.lost == ("elm",)
    seal = next(step for step in plan.steps if step.action == "seal")
    assert (seal.args["vaults"], seal.args["continues"]) == (["birch", "cedar"], 1)
    assert [hazard.name for hazard in plan.hazards] == ["no-spare-vault"]
    unvaulted = plan_protect(FLEET, survey(), declared=frozenset({"dover"}))
    assert actions(unvaulted) == ["verify", "point", "confirm", *after]
    assert unvaulted.hazards == ()


def test_a_vault_of_the_fleet_takes_the_lost_ones_place() -> None:
    """One that is declared and not in the set yet is admitted and filled; where too few stay, only the lost one goes."""
    more = tuple(VaultSpec(name, name, "s3", URL, "vault") for name in ("dover", "fir", "gum"))
    fleet = replace(FLEET, vaults=(*FLEET.vaults, *more[:1]))
    plan = plan_protect(fleet, survey(fleet), declared=frozenset({"elm"}))
    assert actions(plan)[4:9] == ["supplies", "admit", "seal", "turn", "fill"]
    assert plan.hazards == ()
    wide = replace(FLEET, vaults=(*FLEET.vaults, *more), replication=Replication(3, 4))
    few = plan_protect(wide, survey(wide), declared=frozenset({"elm"}))
    seal = next(step for step in few.steps if step.action == "seal")
    assert (seal.args["vaults"], seal.args["k"], seal.args["s"]) == (["birch", "cedar"], 2, 2)


def test_the_next_standby_is_neither_here_nor_lost() -> None:
    """The first in order that is left, with a vault elsewhere; a hot one follows; with none left that is a hazard."""
    assert [s.subject for s in plan_failover(FLEET, survey()).steps if s.action == "stand-by"] == ["cedar"]
    sites = tuple(replace(site, standby="hot") if site.name == "cedar" else site for site in FLEET.sites)
    hot = plan_failover(replace(FLEET, sites=sites), survey())
    assert actions(hot)[-5:] == ["provision", "clear", "shape", "follow", "stand-by"]
    assert {step.subject for step in hot.steps[-5:]} == {"cedar"}
    alone = plan_failover(FLEET, survey(), declared=frozenset({"cedar"}))
    assert "stand-by" not in actions(alone)
    assert "no-next-standby" in {hazard.name for hazard in alone.hazards}
    stays = plan_protect(FLEET, survey(), declared=frozenset({"birch"}))
    assert [step.subject for step in stays.steps if step.action == "stand-by"] == ["cedar"]


def test_vaults_that_are_new_after_a_failover_are_filled() -> None:
    """What was put before they were in the set reaches them before the app counts as protected."""
    fleet = replace(FLEET, vaults=(*FLEET.vaults, VaultSpec("dover", "dover", "s3", URL, "vault")))
    order = actions(plan_failover(fleet, survey(fleet, epoch(2, "birch", ("cedar", "elm"))), to="acorn"))
    assert order.index("confirm") < order.index("fill") < order.index("sealable") < order.index("protect")
    assert "fill" not in actions(plan_failover(FLEET, survey()))


def test_a_locked_vault_that_kept_payloads_is_filled_where_the_set_shrinks() -> None:
    """With too few others left it counts with whole pictures, so every plan that shrinks the set gives it those, also when planned again."""
    fleet = replace(FLEET, vaults=tuple(replace(v, lock_days=30) if v.name == "elm" else v for v in FLEET.vaults))

    def filled(plan: Plan) -> list[list[str]]:
        return [step.args["vaults"] for step in plan.steps if step.action == "fill"]

    left = survey(fleet, epoch(2, "birch", ("cedar", "elm")))
    for plan in (
        plan_failover(fleet, survey(fleet)),
        plan_failover(fleet, left, to="cedar"),
        plan_protect(fleet, survey(fleet), declared=frozenset({"birch"})),
        plan_vaults(fleet, survey(fleet), without=frozenset({"birch"})),
    ):
        assert filled(plan) == [["elm"]]
        assert "supplies" not in actions(plan)
    assert filled(plan_failover(FLEET, survey())) == []
    told = {"vaults": {"birch": {"apart": True}, "cedar": {"apart": False}, "elm": {"apart": True}}}
    knew = SiteReading(None, serving=True, ship=told)
    assert filled(plan_up(fleet, replace(survey(fleet), sites={"acorn": knew}), "acorn")) == [["birch"]]
    assert filled(plan_up(fleet, survey(fleet, epoch(2)), "acorn")) == []


def test_too_few_vaults_to_leave_is_a_hazard() -> None:
    """With one vault of three left, no new epoch could be sealed: that is said by name."""
    plan = plan_protect(FLEET, survey(), declared=frozenset({"elm", "cedar"}))
    assert [hazard.name for hazard in plan.hazards] == ["cannot-seal", "no-next-standby"]
    assert "seal" not in actions(plan)


def test_nobody_stays_at_a_vendor_that_is_lost() -> None:
    """Where the primary's vendor is lost, only a failover helps."""
    with pytest.raises(ResilienceError, match="at a lost vendor"):
        plan_protect(FLEET, survey(), declared=frozenset({"acorn"}))
