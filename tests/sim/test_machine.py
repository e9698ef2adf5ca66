"""A state machine: vendors come and go, doors break, two operators act, and what must hold holds at every call."""

from __future__ import annotations

import os
import random
from functools import partial
from itertools import count

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from resilience.decide import with_companions
from resilience.simulation.shipping import may_acknowledge
from tests.sim.fleets import MORE_VAULTS, drawn, first_day, traits
from tests.sim.stage import Operator, attempt

VENDORS = ("acorn", "birch", "cedar", "dover", "elm", "fir")
SITES = ("acorn", "birch", "cedar")
VAULTS = ("birch", "cedar", "elm", *MORE_VAULTS)
DOORS = {
    **{f"vault.{{}}.{verb}": VAULTS for verb in ("put_new", "get", "list", "verify")},
    **{f"plane.{{}}.{verb}": SITES for verb in ("shape", "restore", "recover", "start_ship", "snapshot", "read_back")},
    **{f"plane.{{}}.{verb}": SITES for verb in ("fetch_media", "fetch_ledger")},
    **{f"app.{{}}.{verb}": SITES for verb in ("replay_ledger", "start", "facts")},
    "cloud.{}.up": SITES,
    "zone.{}.point": ("acorn", "dover"),
    "log.append": ("",),
    "signer.sign": ("",),
    "outside.journey": ("",),
}
breaks = st.lists(
    st.tuples(
        st.sampled_from(sorted(DOORS)),
        st.sampled_from([1, 1, 1, 2, 3, 5, 8, 13, 21, 34]),
        st.booleans(),
        st.sampled_from(["error", "error", "killed", "closed"]),
    ),
    max_size=2,
)
Breaks = list[tuple[str, int, bool, str]]
AT_ONCE = 3
"""So many vendors are never gone at the same time; two is what the fleet is made for."""


class Losses(RuleBasedStateMachine):
    """A fleet by chance, its vendors, two operators, users who go on posting."""

    @initialize(seed=st.integers(0, 999), pace=st.sampled_from([0.0, 1.0]))
    def first_day(self, seed: int, pace: float) -> None:
        """Everything is up, and what is declared hot follows."""
        self.stage = first_day(drawn(random.Random(seed)))
        note(f"{traits(self.stage.fleet)} {self.stage.fleet.replication}")
        self.stage.state.pace = pace
        self.operators = (self.stage.operator, self.stage.other_operator())

    @rule(count=st.integers(1, 5), seconds=st.sampled_from([0.0, 0.25, 1.0]))
    def users_post(self, count: int, seconds: float) -> None:
        """By public name, wherever it leads."""
        self.stage.post(count)
        self.stage.state.pass_time(seconds)

    @rule(site=st.sampled_from(SITES))
    def users_post_at(self, site: str) -> None:
        """By an old address: whoever lives there may try to take it."""
        if site in self.stage.state.hosts:
            self.stage.post(1, site)

    @rule(seconds=st.sampled_from([1.0, 7.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        """Ships ship, leases are renewed or run out."""
        self.stage.state.pass_time(seconds)

    @rule(row=st.integers(0, 24))
    def moderator_takes_down(self, row: int) -> None:
        """At the site that takes writes, if there is one."""
        for site, host in self.stage.state.hosts.items():
            if may_acknowledge(self.stage.state, host):
                attempt(partial(self.stage.take_down, site, f"post{row}"))

    @precondition(lambda self: len(self.stage.state.dead) < AT_ONCE)
    @rule(vendor=st.sampled_from(VENDORS), hosts=st.booleans())
    def vendor_closes(self, vendor: str, hosts: bool) -> None:  # noqa: FBT001
        """With its hosts, or only the account: then the hosts live on."""
        self.stage.state.lose(vendor, hosts=hosts)

    @precondition(lambda self: len(self.stage.state.dead) < AT_ONCE)
    @rule(hosts=st.booleans())
    def primary_s_vendor_closes(self, hosts: bool) -> None:  # noqa: FBT001
        """What a failover is for."""
        if newest := self.stage.monitor.newest():
            self.stage.state.lose(self.stage.fleet.site(newest.site).vendor, hosts=hosts)

    @rule(vendor=st.sampled_from(VENDORS))
    def vendor_opens_again(self, vendor: str) -> None:
        """And old hosts boot as they were."""
        self.stage.state.revive(vendor)

    @rule(site=st.sampled_from(SITES), vaults=st.sets(st.sampled_from(VAULTS)))
    def network_parts(self, site: str, vaults: set[str]) -> None:
        """A host reaches some vaults no more (and the others again)."""
        if site in self.stage.state.hosts:
            self.stage.state.hosts[site].cut_off = vaults

    @rule(site=st.sampled_from(SITES))
    def host_dies(self, site: str) -> None:
        """The vendor lives, and the machine is gone."""
        if site in self.stage.state.hosts:
            self.stage.state.hosts[site].alive = False

    @rule(
        who=st.integers(0, 1),
        to=st.sampled_from([None, *SITES]),
        anew=st.booleans(),
        breaks=breaks,
        lost=st.one_of(st.just(frozenset()), st.frozensets(st.sampled_from(VENDORS), max_size=2)),
    )
    def fails_over(self, who: int, to: str | None, anew: bool, breaks: Breaks, lost: frozenset[str]) -> None:  # noqa: FBT001
        """An operator's command; it may go on with an interrupted one; doors break at their n-th call on the way."""
        self.doors_will_break(breaks)
        said = attempt(partial(self.operators[who].failover, to=to, lost=self.known(lost), anew=anew))
        note(f"-> {said or 'went well'}")
        self.stage.state.doors.breaks.clear()
        if said is None:
            self.serves(self.operators[who])

    @rule(who=st.integers(0, 1), breaks=breaks, lost=st.frozensets(st.sampled_from(VENDORS), max_size=2))
    def is_protected_again(self, who: int, breaks: Breaks, lost: frozenset[str]) -> None:
        """A vendor counts as lost at which the app does not run, rightly or not; doors break on the way."""
        self.doors_will_break(breaks)
        note(f"-> {attempt(partial(self.operators[who].protect, self.known(lost))) or 'went well'}")
        self.stage.state.doors.breaks.clear()

    def known(self, vendors: frozenset[str]) -> frozenset[str]:
        """Those that this fleet has."""
        return vendors & {vendor.name for vendor in self.stage.fleet.vendors}

    def doors_will_break(self, breaks: Breaks) -> None:
        """At their n-th call from now, before their effect or after it; wherever that door may be."""
        for door, call, after, how in breaks:
            for place in DOORS[door]:
                self.stage.break_next(door.format(place), after=after, how=how, call=call)

    @rule(who=st.integers(0, 1), site=st.sampled_from(SITES))
    def comes_up_again(self, who: int, site: str) -> None:
        """As after a repair: the site that may write serves again, any other one only gets its host."""
        note(f"-> {attempt(partial(self.operators[who].up, site)) or 'went well'}")

    @rule(call=st.integers(1, 38), first=st.sampled_from([None, *SITES]), second=st.sampled_from([None, *SITES]))
    def one_stalls_while_the_other_acts(self, call: int, first: str | None, second: str | None) -> None:
        """Right before one line of the first one's journal, the second one does a whole failover."""
        lines = count(1)
        other = partial(attempt, partial(self.operators[1].failover, to=second, anew=True))
        sleeper = self.operators[0].asleep(lambda _event: next(lines) == call, other)
        note(f"-> {attempt(partial(sleeper.failover, to=first, anew=True)) or 'went well'}")

    def serves(self, operator: Operator) -> None:
        """A failover that went well: one site takes posts, unless its vendor closed at the very end."""
        newest = self.stage.monitor.newest()
        assert newest is not None
        host = self.stage.state.hosts[newest.site]
        assert host.promoted_under == newest.nonce
        assert operator.world.log.read()[-1].kind == "finished"

    @invariant()
    def holds(self) -> None:
        """Everything that must hold, once more between the rules."""
        if hasattr(self, "stage"):
            self.stage.monitor.look("rule")

    def teardown(self) -> None:
        """Once everything works again and the primary's vendor closes, a failover ends well, or this fleet needs a vault that left."""
        if not hasattr(self, "stage"):
            return
        for vendor in VENDORS:
            self.stage.state.revive(vendor)
        for host in self.stage.state.hosts.values():
            host.cut_off = set()
        self.stage.state.pass_time(1.0)
        newest = self.stage.monitor.newest()
        assert newest is not None
        fleet = self.stage.fleet
        gone = with_companions(fleet, frozenset({fleet.site(newest.site).vendor}))
        for vendor in gone:
            self.stage.state.lose(vendor)
        said = attempt(partial(self.operators[0].failover, anew=True))
        if sum(fleet.vault(name).vendor not in gone for name in newest.vaults) < newest.s:
            assert str(said).startswith("TooFewVaults")
            return
        assert said is None, said
        by_name = {zone.vendor for zone in fleet.names.zones} - gone
        serving = self.stage.monitor.newest()
        assert serving is not None
        assert self.stage.post(1, None if by_name else serving.site) == 1


EXAMPLES = os.environ.get("RESILIENCE_SIM_EXAMPLES")
"""So many other stories than the suite's, which are the same every day."""
Losses.TestCase.settings = settings(
    max_examples=int(EXAMPLES or 60),
    stateful_step_count=30,
    derandomize=EXAMPLES is None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLosses = Losses.TestCase
