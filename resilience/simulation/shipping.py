"""What a host does by itself: ship what was written, look for a newer epoch, stop when it may not write.

A chunk is put first and newer epochs are looked for after; only then is it confirmed. A host that learns
that it may not write stops its database, and puts what it already acknowledged where it still can.
"""

from __future__ import annotations

from itertools import takewhile

from resilience.model import EpochRecord, Stage
from resilience.replication import layout
from resilience.simulation.state import Held, Host, State

LAG_MS = (50, 200, 400)
"""How far the first, second and third vault of a set lag behind."""


def start_ship(state: State, host: Host, record: EpochRecord, lease_s: float) -> None:
    """Ship under this epoch from now on; nothing may be written before the vaults were asked."""
    if host.ships is None or host.ships.nonce != record.nonce:
        host.put = dict.fromkeys(record.vaults, 0)
        host.pictured = dict.fromkeys(record.vaults, 0)
        host.confirmed = 0
    host.ships = record
    host.lease_ms = round(lease_s * 1000)
    host.lease_until = 0
    for held in reachable(state, host, record).values():
        held.chain(record.number).shipped_by = host.number
    ship(state, host)


def ships(state: State) -> None:
    """One round of all hosts that ship."""
    for host in state.hosts.values():
        if host.alive and host.ships is not None and not host.fenced:
            ship(state, host)


def ship(state: State, host: Host) -> None:
    """One round: put, look, confirm, hold the lease or stop."""
    record = host.ships
    if record is None:
        return
    reached = reachable(state, host, record)
    for name, held in reached.items():
        lag = LAG_MS[min(record.vaults.index(name), len(LAG_MS) - 1)]
        _put(host, name, held, until=state.now - lag / 1000)
    _put_ledger(state, host, record, reached)
    if any(held.shows_newer(record) for held in reached.values()):
        _stop(state, host, reached)
        return
    if any(held.newer(record) for held in reached.values()):
        _turn(state, host, record, reached)
        return
    if len(reached) >= len(record.vaults) - record.s + 1:
        host.lease_until = state.ms + host.lease_ms
    elif host.lease_ms and state.ms > host.lease_until:
        _stop(state, host, reached)
        return
    _confirm(state, host, record)
    _confirm_ledger(state, host, record)


def _turn(state: State, host: Host, record: EpochRecord, reached: dict[str, Held]) -> None:
    """Another vault set for this very host: everything it wrote is where the new epoch begins."""
    newer = next(found for held in reached.values() if (found := held.newer(record)))
    sealed = {name for name, held in state.vaults.items() if held.newer(record) == newer}
    if len(sealed & set(newer.vaults)) < newer.s or len(sealed & set(record.vaults)) < record.s:
        return
    if len(reachable(state, host, newer)) >= newer.k:
        _go_on(state, host, newer)


def force_turn(state: State, host: Host, newer: EpochRecord) -> None:
    """By the operator's word alone, also once the lease ran out; not where another site's epoch is seen."""
    record = host.ships
    if record is None or record.nonce == newer.nonce:
        return
    reached = reachable(state, host, record)
    if any(held.shows_newer(record) for held in reached.values()):
        return
    host.fenced = False
    for name, held in reached.items():
        _put(host, name, held, until=state.now)
    _go_on(state, host, newer)


def _go_on(state: State, host: Host, newer: EpochRecord) -> None:
    """Under the next epoch, from where this one ends; a vault that is new gets no picture that was put before."""
    mine = reachable(state, host, newer)
    for name, held in mine.items():
        held.open(newer, host.rows, state.carried[newer.site, newer.number])
        host.put[name] = len(host.wal)
        held.chain(newer.number).shipped_by = host.number
    host.put = {name: host.put.get(name, 0) if name in mine else 0 for name in newer.vaults}
    host.pictured = {name: host.pictured.get(name, len(host.wal)) for name in newer.vaults}
    host.ships, host.promoted_under = newer, newer.nonce
    host.restored_under = host.walked_under = newer.nonce
    host.told = newer
    ship(state, host)


def may_acknowledge(state: State, host: Host) -> bool:
    """Whether a user's write that reaches this host now is acknowledged, now or once vaults hold it."""
    return host.stage.covers(Stage.WRITES) and would_acknowledge(state, host)


def would_acknowledge(state: State, host: Host) -> bool:
    """The same for a write that its gate lets through."""
    if not (host.alive and host.serving and host.promoted_under) or host.fenced:
        return False
    if host.ships is None or host.ships.nonce != host.promoted_under:
        return False
    if host.lease_ms:
        return state.ms < host.lease_until
    reached = reachable(state, host, host.ships)
    return len(reached) >= host.ships.k and not any(h.shows_newer(host.ships) for h in reached.values())


def write(state: State, host: Host, write_id: str) -> bool:
    """The app takes a write; True when it will acknowledge it (in quorum: once it is confirmed)."""
    if not may_acknowledge(state, host):
        return False
    host.rows[write_id] = state.now
    host.pictures.add(write_id)
    host.wal.append(write_id)
    if host.lease_ms:
        state.acknowledged[write_id] = host.promoted_under
    return True


def reachable(state: State, host: Host, record: EpochRecord) -> dict[str, Held]:
    """The epoch's vaults that this host gets through to."""
    return {
        name: state.vaults[name]
        for name in record.vaults
        if state.vaults[name].vendor not in state.dead and name not in host.cut_off
    }


def _put(host: Host, name: str, held: Held, until: float) -> None:
    """Pictures go before the rows that name them, unless the vault is slow: nothing waits for them."""
    record = host.ships
    if record is None:
        return
    chain = held.chain(record.number)
    if name not in host.slow:
        pictures = _due(host, host.pictured.get(name, 0), until)
        held.pictures.update(pictures, host.again.pop(name, ()))
        host.pictured[name] = host.pictured.get(name, 0) + len(pictures)
    rows = _due(host, host.put.get(name, 0), until)
    chain.rows |= {row: host.rows[row] for row in rows}
    host.put[name] = host.put.get(name, 0) + len(rows)


def _due(host: Host, position: int, until: float) -> list[str]:
    """What was written from this position on and by then."""
    return list(takewhile(lambda row: host.rows[row] <= until, host.wal[position:]))


def _confirm(state: State, host: Host, record: EpochRecord) -> None:
    held = sorted(host.put.values(), reverse=True)[record.k - 1]
    for row in host.wal[host.confirmed : held]:
        state.confirmed.add(row)
        if not host.lease_ms:
            state.acknowledged[row] = record.nonce
    host.confirmed = max(host.confirmed, held)


def _stop(state: State, host: Host, reached: dict[str, Held]) -> None:
    host.fenced = True
    for name, held in reached.items():
        _put(host, name, held, until=state.now)


def record_takedown(state: State, host: Host, row: str) -> None:
    """An entry in the ledger: in every vault that is reached, in the others later, and acknowledged once k hold it."""
    record = host.ships
    if record is None:
        return
    host.ledger[1 + max(host.ledger, default=0)] = row
    host.hidden.add(row)
    _put_ledger(state, host, record, reachable(state, host, record))
    _confirm_ledger(state, host, record)


def _put_ledger(state: State, host: Host, record: EpochRecord, reached: dict[str, Held]) -> None:
    """As app and outbox do: all that is here is handed over under the number with which this host began."""
    for held in reached.values():
        held.objects |= {key: row.encode() for key, row in _entries(state, host, record).items()}


def _entries(state: State, host: Host, record: EpochRecord) -> dict[str, str]:
    number = state.carried.get((record.site, record.number), record.number)
    return {layout.ledger(number, seq): row for seq, row in host.ledger.items()}


def _confirm_ledger(state: State, host: Host, record: EpochRecord) -> None:
    for key, row in _entries(state, host, record).items():
        if sum(key in state.vaults[name].objects for name in record.vaults) >= record.k:
            state.taken_down.add(row)
