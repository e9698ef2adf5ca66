"""Every plan there is: from where it starts, the command, and what must hold once it ended well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from resilience.engine import orders
from resilience.engine.broken_chain import accept_end
from resilience.engine.execute import unfinished
from resilience.model import LegalOrder, SignOff, Site
from resilience.model import Stage as Gate
from resilience.model.fleet import Durability
from resilience.replication import layout
from resilience.simulation.app import SimOutside
from tests.sim.broken import GOOD as GOOD_UNTIL
from tests.sim.broken import Broken
from tests.sim.rehearsing import rehearse, untouched
from tests.sim.stage import Operator, Stage, attempt, day_one, fleet_with
from tests.sim.stage import begun as begun_with


def rows_by_name(stage: Stage) -> set[str]:
    """What the site has that the name leads to."""
    host = SimOutside(stage.state, stage.fleet).reached()
    return set(host.rows) if host else set()


def serves(stage: Stage) -> None:
    """Users by name can write."""
    assert stage.post(2) == 2


def keeps_all(stage: Stage) -> None:
    """They can, and nothing that was ever acknowledged is missing: after anything but a loss."""
    serves(stage)
    assert set(stage.state.acknowledged) <= rows_by_name(stage)


def confirmed(stage: Stage) -> None:
    """They can, and what k vaults held is there; in quorum that is all that was acknowledged."""
    serves(stage)
    assert stage.state.confirmed <= rows_by_name(stage)


def copied(stage: Stage) -> None:
    """Every vault has a snapshot of all that was written before; nothing is missing."""
    written = len(stage.state.acknowledged)
    for vault in stage.state.vaults.values():
        newest = max(key for key in vault.objects if key.startswith(layout.LABEL))
        assert int(newest.split("-")[1]) == written, newest
    keeps_all(stage)


@dataclass(frozen=True)
class Swept:
    """A command, from where it starts, the plan that it goes on with when run again, and what holds at its end."""

    kind: str
    begin: Callable[[Durability], Stage]
    command: Callable[[Operator], None]
    ends: Callable[[Stage], None] = keeps_all


def lost(durability: Durability = "async") -> Stage:
    """A stage whose primary's vendor is gone."""
    stage = day_one(durability)
    stage.state.lose("acorn")
    return stage


def with_a_standby(stage: Stage) -> Stage:
    """The same, with birch declared as a hot standby."""
    sites = tuple(replace(site, standby="hot") if site.name == "birch" else site for site in stage.fleet.sites)
    stage.fleet = replace(stage.fleet, sites=sites)
    return stage


def stood_by(durability: Durability = "async") -> Stage:
    """A stage that runs, with birch following."""
    stage = with_a_standby(day_one(durability))
    stage.operator.up("birch")
    return stage


def lost_with_a_standby(durability: Durability = "async") -> Stage:
    """That, and the primary's vendor is gone."""
    stage = stood_by(durability)
    stage.state.lose("acorn")
    return stage


def relented(durability: Durability = "async") -> Stage:
    """A stage that failed over to birch, and whose first vendor lets us in again."""
    stage = lost(durability)
    stage.operator.failover()
    stage.post(5)
    stage.state.revive("acorn")
    stage.state.pass_time(40.0)
    return stage


def elm_lost(durability: Durability = "async") -> Stage:
    """A stage that runs on and lost a vault, with a hot standby declared."""
    stage = with_a_standby(day_one(durability))
    stage.state.lose("elm")
    return stage


def without_elm(durability: Durability = "async") -> Stage:
    """A stage whose set is two of the three declared vaults, and users who write on."""
    stage = day_one(durability)
    stage.operator.vaults("elm")
    stage.post(5)
    stage.state.pass_time(1.0)
    return stage


def one_vault_left(durability: Durability = "async") -> Stage:
    """The primary's vendor lets us in, and two of three vaults are gone: it can't be left, and soon writes no more."""
    stage = day_one(durability)
    for vendor in ("cedar", "elm"):
        stage.state.lose(vendor)
    stage.unwatched()
    return stage


def one_vault_and_no_primary(durability: Durability = "async") -> Stage:
    """Two of three vaults and the account are gone; the old primary lives on. There is one more place to go."""
    fleet = fleet_with(durability)
    stage = begun_with(replace(fleet, sites=(*fleet.sites, Site("dover", "dover", "lab"))))
    stage.state.lose("acorn", hosts=False)
    for vendor in ("birch", "cedar"):
        stage.state.lose(vendor)
    stage.unwatched()
    return stage


def at_a_hole(durability: Durability = "async") -> Stage:
    """A failover that stopped at a hole in the chain that every vault has."""
    stage = lost(durability)
    stage.operator = replace(stage.operator, world=replace(stage.world, plane=Broken(stage.world.plane)))
    assert "chain is broken" in str(attempt(stage.operator.failover))
    return stage


def accepted(operator: Operator) -> None:
    """As `resilience failover --accept-end LSN --accept broken-chain` does."""
    plan = unfinished(operator.world, "failover")
    accept_end(operator.world, plan, GOOD_UNTIL, frozenset({"broken-chain"}))
    operator.failover()


GOOD = {f"post{n}" for n in range(25)}
LATER = {f"post{n}" for n in range(25, 35)}


def bad_day(durability: Durability = "async") -> Stage:
    """Twenty-five good posts, a moderator's takedown, then ten bad ones that every vault holds, and a takedown after them."""
    stage = day_one(durability)
    stage.state.pass_time(2.0)
    stage.post(10, "acorn")
    stage.state.pass_time(2.0)
    stage.take_down("acorn", "post7")
    stage.state.pass_time(1.0)
    return stage


def undone(durability: Durability = "async") -> Stage:
    """That, restored to before the bad ones, and users who wrote on."""
    stage = bad_day(durability)
    stage.operator.restore("0/19")
    stage.post(3)
    stage.state.pass_time(2.0)
    return stage


def as_it_was(stage: Stage, rows: set[str]) -> None:
    """The site by name has these rows and no other; what was taken down since is down; users can write."""
    host = SimOutside(stage.state, stage.fleet).reached()
    assert host is not None
    assert set(host.rows) == rows
    assert {"post3", "post4", "post7"} <= host.hidden
    serves(stage)


def held(durability: Durability = "async") -> Stage:
    """A failover that opened for reading alone."""
    stage = day_one(durability)
    stage.state.moderators = 1
    stage.state.lose("acorn")
    stage.operator.failover(hold=Gate.WRITES)
    return stage


def wide_open(stage: Stage) -> None:
    """Everything is let through."""
    assert stage.state.hosts["birch"].stage == Gate.SIGN_UPS
    confirmed(stage)


ORDER = LegalOrder("12 O 34/26", "District Court", "2026-11-20", "acorn", ("7", "8", "99"))
SIGNED = SignOff("Jane Roe, counsel", "12 O 34/26", "2026-11-25")


def ordered(durability: Durability = "async") -> Stage:
    """A stage with an order on record whose primary's vendor is gone."""
    stage = day_one(durability)
    orders.record(stage.world, ORDER)
    stage.state.lose("acorn")
    return stage


def signed(durability: Durability = "async") -> Stage:
    """That, and somebody signed off."""
    stage = ordered(durability)
    stage.operator.sign_offs = (SIGNED,)
    return stage


def down_it_stays(stage: Stage) -> None:
    """What was ordered down is down, once, and the rest is as after any failover."""
    birch = stage.state.hosts["birch"]
    assert {"post7", "post8"} <= birch.hidden
    assert sorted(birch.ledger.values()).count("post7") == 1
    confirmed(stage)


PLANS: Mapping[str, Swept] = {
    "failover": Swept("failover", lost, Operator.failover, confirmed),
    "failover to a standby": Swept("failover", lost_with_a_standby, Operator.failover, confirmed),
    "failover under an order": Swept("failover", signed, Operator.failover, down_it_stays),
    "failover --force": Swept(
        "failover", one_vault_and_no_primary, partial(Operator.failover, to="dover", force=True), serves
    ),
    "failover --accept-end": Swept("failover", at_a_hole, accepted, serves),
    "switchover": Swept("switchover", stood_by, Operator.switchover),
    "switchover home": Swept("switchover", relented, partial(Operator.switchover, to="acorn")),
    "restore": Swept("restore", bad_day, partial(Operator.restore, at="0/19"), partial(as_it_was, rows=GOOD)),
    "restore elsewhere": Swept(
        "restore", bad_day, partial(Operator.restore, at="0/19", to="birch"), partial(as_it_was, rows=GOOD)
    ),
    "restore and back": Swept(
        "restore", undone, partial(Operator.restore, of=1), partial(as_it_was, rows=GOOD | LATER)
    ),
    "protect": Swept("protect", elm_lost, partial(Operator.protect, lost=("elm",))),
    "protect --force": Swept("protect", one_vault_left, partial(Operator.protect, lost=("cedar", "elm"), force=True)),
    "vaults, one less": Swept("vaults", day_one, lambda operator: operator.vaults("elm")),
    "vaults, one more": Swept("vaults", without_elm, lambda operator: operator.vaults()),
    "snapshot": Swept("snapshot", stood_by, Operator.snapshot, copied),
    "open": Swept("open", held, partial(Operator.open, site="birch", wanted=Gate.SIGN_UPS), wide_open),
    "up": Swept("up", day_one, partial(Operator.up, site="acorn")),
    "rehearse": Swept("rehearsal", day_one, rehearse, untouched),
}
