"""What must hold at every moment of every failover, whatever breaks. Looked at after each call on a door."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from resilience.model import EpochRecord, Fleet, Stage
from resilience.replication import epoch as epochs
from resilience.simulation.shipping import may_acknowledge, would_acknowledge
from resilience.simulation.state import Host, State


class Violated(AssertionError):
    """An invariant does not hold; the message begins with its name."""


Check = Callable[["Monitor"], str | None]
INVARIANTS: dict[str, Check] = {}


def invariant(check: Check) -> Check:
    """Keep a check under its name."""
    INVARIANTS[check.__name__] = check
    return check


@dataclass
class Monitor:
    """Looks after every call, and remembers what it saw."""

    state: State
    fleet: Fleet
    zones: dict[str, tuple[str, ...]] = field(default_factory=dict)
    promoted: dict[str, str] = field(default_factory=dict)
    records: dict[str, EpochRecord] = field(default_factory=dict)
    """By nonce: every epoch that ever lay in a vault."""
    holders: dict[str, set[str]] = field(default_factory=dict)
    """By nonce: the vaults that were given it."""
    sizes: dict[str, int] = field(default_factory=dict)
    """By vendor: how many objects its vault held at the last look."""
    sound: set[str] = field(default_factory=set)
    """By nonce: epochs that were found to be sound; what is signed never changes."""
    verified: set[str] = field(default_factory=set)
    """Addresses of sites that were found to work, and that did not begin anew since."""
    acknowledged: int = 0
    forbidden: frozenset[str] = frozenset()
    """Vendors that the plan under way knows to be lost."""
    looks: int = 0
    watches: bool = True

    def __post_init__(self) -> None:
        self.state.watchers.append(self.look)

    def look(self, door: str) -> None:
        """Check everything; Violated at the first thing that does not hold."""
        if not self.watches:
            return
        self.looks += 1
        self._remember_epochs()
        self._remember_verified()
        for name, check in INVARIANTS.items():
            if wrong := check(self):
                raise Violated(f"{name}: {wrong} (after {door})")
        self.zones = dict(self.state.zones)
        self.promoted = {site: host.promoted_under for site, host in self.state.hosts.items()}
        self.acknowledged = len(self.state.acknowledged)

    @contextmanager
    def nobody_calls(self, vendors: frozenset[str]) -> Iterator[None]:
        """Within this block these vendors are not called."""
        self.state.called_dead.clear()
        self.forbidden = vendors
        try:
            yield
        finally:
            self.forbidden = frozenset()

    @contextmanager
    def somebody_else(self) -> Iterator[None]:
        """Another operator acts in between; what this one knows is put aside."""
        mine, calls = self.forbidden, list(self.state.called_dead)
        self.forbidden = frozenset()
        try:
            yield
        finally:
            self.forbidden = mine
            self.state.called_dead[:] = calls

    def _remember_epochs(self) -> None:
        for name, held in self.state.vaults.items():
            if len(held.objects) == self.sizes.get(held.vendor):
                continue
            self.sizes[held.vendor] = len(held.objects)
            for key, data in held.objects.items():
                if key.startswith("epoch/"):
                    record = epochs.decode(data, lambda _payload, _signature: True)
                    if record is not None:
                        self.records[record.nonce] = record
                        self.holders.setdefault(record.nonce, set()).add(name)

    def _remember_verified(self) -> None:
        """Sites that a user got through to since they were opened; on the first day there were no users yet."""
        for site, host in self.state.hosts.items():
            outputs = self.state.outputs.get(site)
            record = self.records.get(host.promoted_under)
            if outputs is None or not host.alive:
                continue
            if record and host.serving and (record.number == 1 or host.walked_under == record.nonce):
                self.verified.add(outputs.addresses[0])
            else:
                self.verified.discard(outputs.addresses[0])

    def newest(self) -> EpochRecord | None:
        """The newest epoch that was sealed in enough vaults."""
        sealed = [record for record in self.records.values() if self.is_sealed(record)]
        return max(sealed, key=lambda record: record.number, default=None)

    def is_sealed(self, record: EpochRecord) -> bool:
        """Whether enough vaults of its own set hold it, and of every set before it that could still confirm."""
        return self._holds(record, record) and all(
            self._holds(record, older)
            for older in self.records.values()
            if older.number == record.parent and any(h.promoted_under == older.nonce for h in self._hosts())
        )

    def _holds(self, record: EpochRecord, quorum_of: EpochRecord) -> bool:
        return len(self.holders[record.nonce] & set(quorum_of.vaults)) >= quorum_of.s

    def _hosts(self) -> list[Host]:
        return list(self.state.hosts.values())


@invariant
def one_writer(monitor: Monitor) -> str | None:
    """Never two sites that may acknowledge a write at once."""
    sites = [site for site, host in monitor.state.hosts.items() if may_acknowledge(monitor.state, host)]
    return f"{' and '.join(sites)} both acknowledge writes" if len(sites) > 1 else None


@invariant
def writes_never_go_back(monitor: Monitor) -> str | None:
    """Once a write was acknowledged under an epoch, none is under an older one."""
    if len(monitor.state.acknowledged) == monitor.acknowledged:
        return None
    numbers = {nonce: record.number for nonce, record in monitor.records.items()}
    seen = [numbers[nonce] for nonce in list(monitor.state.acknowledged.values())[max(0, monitor.acknowledged - 1) :]]
    older = [(one, two) for one, two in pairwise(seen) if two < one]
    return f"epoch {older[0][1]} acknowledged after epoch {older[0][0]}" if older else None


@invariant
def sealed_before_promoted(monitor: Monitor) -> str | None:
    """A database is opened only under an epoch that enough vaults hold, after a restore under that very epoch."""
    for site, host in _newly_promoted(monitor):
        record = monitor.records.get(host.promoted_under)
        if record is None or not monitor.is_sealed(record):
            return f"{site} was promoted under an epoch that is not sealed"
        if record.site != site:
            return f"{site} was promoted under the epoch of {record.site}"
        if record.number > 1 and host.restored_under != record.nonce:
            return f"{site} was promoted without a restore under epoch {record.number}"
    return None


@invariant
def nothing_confirmed_is_lost(monitor: Monitor) -> str | None:
    """What is promoted under the newest epoch holds every row that k vaults were known to hold."""
    for site, host in _newly_promoted(monitor):
        newest = monitor.newest()
        if newest is not None and newest.nonce == host.promoted_under:
            lost = sorted(monitor.state.confirmed - set(host.rows))
            if lost:
                return f"{site} lacks {len(lost)} confirmed rows, {lost[0]} among them"
    return None


@invariant
def name_moves_after_verify(monitor: Monitor) -> str | None:
    """The name never begins to point at a site that no user's journey went through."""
    for vendor, addresses in monitor.state.zones.items():
        if monitor.zones.get(vendor) == addresses:
            continue
        if addresses[0] not in monitor.verified:
            return f"{vendor} points at {addresses[0]}, which nobody verified"
    return None


@invariant
def taken_down_stays_down(monitor: Monitor) -> str | None:
    """No site that takes writes shows a post that was taken down."""
    for site, host in monitor.state.hosts.items():
        if not host.stage.covers(Stage.READ_ONLY):
            continue
        shown = monitor.state.taken_down & set(host.rows) - host.hidden
        if shown and would_acknowledge(monitor.state, host):
            return f"{site} shows {min(shown)}, which was taken down"
    return None


@invariant
def opened_after_verify(monitor: Monitor) -> str | None:
    """No gate is open, not even for reading, before a user's journey went through under that very epoch."""
    for site, host in monitor.state.hosts.items():
        record = monitor.records.get(host.promoted_under)
        if record is None or record.number == 1 or not host.alive or host.fenced:
            continue
        if host.stage.covers(Stage.READ_ONLY) and host.walked_under != record.nonce:
            return f"{site} is open for {host.stage}, and nobody verified it"
    return None


@invariant
def nobody_calls_the_dead(monitor: Monitor) -> str | None:
    """No call to a vendor that the plan knew to be lost."""
    calls = [c for c in monitor.state.called_dead if c["vendor"] in monitor.forbidden]
    return f"{calls[0]['address']} at {calls[0]['vendor']} was called" if calls else None


@invariant
def epochs_are_sound(monitor: Monitor) -> str | None:
    """Every epoch's quorums meet, and it keeps no vault at its own site's vendor or at one known to be lost."""
    for record in [record for nonce, record in monitor.records.items() if nonce not in monitor.sound]:
        n, home = len(record.vaults), monitor.fleet.site(record.site).vendor
        if record.k + record.s <= n or 2 * record.s <= n:
            return f"epoch {record.number} has quorums that may miss each other"
        if home in {monitor.fleet.vault(v).vendor for v in record.vaults}:
            return f"epoch {record.number} has a vault at {home}, its own site's vendor"
        monitor.sound.add(record.nonce)
    return None


@invariant
def target_is_not_lost(monitor: Monitor) -> str | None:
    """While a plan is under way, nothing is opened at a vendor it knew to be lost, or at a companion of one."""
    lost = monitor.forbidden
    lost |= {c for v in monitor.fleet.vendors if v.name in lost for c in v.companions}
    for site, _host in _newly_promoted(monitor):
        if monitor.fleet.site(site).vendor in lost:
            return f"{site} was promoted, and its vendor is lost or a companion of one that is"
    return None


def _newly_promoted(monitor: Monitor) -> list[tuple[str, Host]]:
    return [
        (site, host)
        for site, host in monitor.state.hosts.items()
        if host.promoted_under and monitor.promoted.get(site) != host.promoted_under
    ]
