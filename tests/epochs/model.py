"""The model: ships, promoters, vaults and a follower, whose decisions are the product's own functions.

Each step is one request to one vault, in any order that threads, machines and networks allow. Four arguments keep
the number of states down, and none hides a failure: vaults are interchangeable, so states that differ by their order
are one; so are promoters, where nobody cuts the chain or changes the set, so the first is whoever plans first;
objects are written once, so reading a vault at one moment sees what reading it bit by bit can see, or less (and a
hole stops the promoter); and a commit is acknowledged as soon as it may be, which is the worst moment. What nobody
will ask for again is left out of states before they are compared: `normal`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from resilience.errors import Refused, ResilienceError
from resilience.model import EpochRecord
from resilience.replication import chain as chains
from resilience.replication import chunk, courier, layout, lsn, reput, restore, trace
from resilience.replication import epoch as epochs
from resilience.replication.config import Until
from resilience.replication.courier import Move, Progress
from resilience.replication.gather import Gathered
from resilience.replication.lease import Lease
from resilience.replication.quorum import held_by
from tests.epochs.catalogue import BASE, CHECK, Catalogue, silence
from tests.epochs.states import (
    APART,
    NOBODY,
    REFUSED,
    UNASKED,
    UNKNOWN,
    Bounds,
    Cell,
    Left,
    Phase,
    Promoter,
    Seen,
    Ship,
    State,
    Vault,
)

Step = tuple[str, State]


@dataclass(frozen=True)
class Found:
    """What a promoter made of what it read."""

    end: int
    history: tuple[tuple[int, int], ...]
    needs: tuple[int, ...]
    todo: Mapping[str, tuple[int, ...]]


class Model:
    """All behaviour within the bounds."""

    def __init__(self, bounds: Bounds, folder: Path) -> None:
        self.bounds = bounds
        self.names = tuple(f"v{n}" for n in range(bounds.n + bounds.change))
        self.roles = (0,) * bounds.n if not bounds.change else (*[0] * (bounds.n - 1), 1, 2)
        self.old = tuple(name for name, role in zip(self.names, self.roles, strict=True) if role < 2)
        self.new = tuple(name for name, role in zip(self.names, self.roles, strict=True) if role != 1)
        self.turned = 1
        self.promoted = 1 + bounds.change
        """Places in `State.ships`: of the first ship after it turned, and of the first promoter's."""
        self.changer = bounds.promoters if bounds.change else -1
        """Place in `State.promoters` of the operator who changes the vault set."""
        self.alike = not bounds.change and bounds.cut < 0
        """Whether promoters differ by their names alone."""
        self.catalogue = Catalogue()
        self.records: list[EpochRecord] = []
        self._folder = folder
        self._memory: dict[object, Any] = {}
        self.first = self.record_of(1, "acorn", "first", 0, self.old)

    # ── beginning ────────────────────────────────────────────────────────────
    def record_of(self, number: int, site: str, nonce: str, parent: int, names: tuple[str, ...]) -> int:
        """An epoch, by its place in `records`; an operator who plans for another number or vault set makes another."""

        def make() -> int:
            bare = EpochRecord(number, site, nonce, parent, names, self.bounds.k, self.bounds.s, 0.0, "")
            self.records.append(self.catalogue.record(bare))
            return len(self.records) - 1

        return int(self.remember(("record", number, nonce, parent, names), make))

    def initial(self) -> State:
        """The first epoch is sealed everywhere and has begun; nothing was written under it yet but what the bounds say."""
        record = self.records[self.first]
        begun = self.catalogue.bit(layout.epoch(1), epochs.encode(record)), self.catalogue.start(record, BASE, 1)
        b = self.bounds
        rest, count = [Progress()] * (b.promoters + b.change), b.promoters + b.change
        held, end = (BASE,) * b.held, BASE + b.held
        chunks = (self.catalogue.chunk(record, BASE + place, confirmed) for place, confirmed in enumerate(held))
        mask = sum(1 << bit for bit in (*begun, *chunks))
        there = Vault(0, mask, False, (Progress(True, end, end), *rest), (Cell(),) * count, UNASKED)
        joins = Vault(2, 0, False, (Progress(), *rest), (Cell(),) * count, UNASKED)
        vaults = tuple(joins if role == joins.role else there._replace(role=role) for role in self.roles)
        ships = (Ship(self.first, BASE, held, acked=end), *[Ship()] * count)
        left = Left(b.losses, b.ambiguous, b.restarts)
        state = State(vaults, ships, (Promoter(),) * count, BASE, left)
        if b.crossed:
            return self.change_crossed(state)
        return self.change_sealed(state) if b.sealed else state

    def change_crossed(self, state: State) -> State:
        """The change lies in n - s of the vaults that stay and in the new one; the first promoter has the others."""
        changer, b = self.changer, self.bounds
        for which in (changer, 0):
            state = self.planned(state, which) or state
        theirs = [(changer, 0)] * (b.n - b.s) + [(changer, 2)]
        ours = [(0, 0)] * (b.s - 1) + [(0, 1)]
        refused = [(0, 0)] * (b.n - b.s) + [(changer, 0)] * (b.s - 1) + [(changer, 1)]
        for which, role in (*theirs, *ours, *refused):
            other = changer if which == 0 else 0
            unasked = [
                (vault.cells[other].got == 1, place)
                for place, vault in enumerate(state.vaults)
                if vault.role == role and vault.cells[which].got == UNASKED
            ]
            _, place = min(unasked)  # first what the other did not seal
            mask, got = self.request(state.promoters[which], state.vaults[place], which)
            state = self.answered(state, which, place, mask, got)
        return state

    def change_sealed(self, state: State) -> State:
        """The vault set's change is sealed everywhere, and nobody has seen it yet."""
        record = self.records[self.child(state, 0)]
        bits = [
            self.catalogue.bit(layout.epoch(r.number), epochs.encode(r)) for r in (self.records[self.first], record)
        ]
        mask = sum(1 << bit for bit in bits)
        vaults = tuple(vault._replace(mask=vault.mask | mask) for vault in state.vaults)
        return self.in_phase(state._replace(vaults=vaults), self.changer, Phase.CHANGED)

    # ── everything that can happen next ──────────────────────────────────────
    def steps(self, state: State) -> Iterator[Step]:
        """Every state that can come next, with what happened."""
        for which, ship in enumerate(state.ships):
            if ship.record != NOBODY:
                yield from self.ship_steps(state, which)
        for which in range(len(state.promoters)):
            yield from self.promoter_steps(state, which)
        if self.bounds.follower:
            yield from self.follower_steps(state)
        if state.left.losses:
            left = state.left._replace(losses=state.left.losses - 1)
            for place, vault in self.different(state):
                yield f"v{place} is lost", self.with_vault(state, place, vault._replace(lost=True))._replace(left=left)

    def different(self, state: State) -> Iterator[tuple[int, Vault]]:
        """The vaults that still answer, one of each kind."""
        seen: set[Vault] = set()
        for place, vault in enumerate(state.vaults):
            if not vault.lost and vault not in seen:
                seen.add(vault)
                yield place, vault

    @staticmethod
    def with_vault(state: State, place: int, vault: Vault) -> State:
        """The same with another vault there, and vaults in order."""
        vaults = (*state.vaults[:place], vault, *state.vaults[place + 1 :])
        return State(tuple(sorted(vaults)), *state[1:])

    # ── ship ─────────────────────────────────────────────────────────────────
    def ship_steps(self, state: State, which: int) -> Iterator[Step]:
        """One ship: a chunk is kept, a courier makes its next move, the process dies and comes back."""
        ship, name = state.ships[which], f"ship of epoch {self.records[state.ships[which].record].number}"
        stays = ship.seen is not Seen.TURNED
        if len(ship.kept) < (self.bounds.more if which else self.bounds.chunks) and stays:
            kept = (*ship.kept, self.carried(state, which))
            yield f"{name} keeps a chunk", self.with_ship(state, which, ship._replace(kept=kept))
        for place, vault in self.different(state):
            if not self.member(vault, ship.record):
                continue
            progress = vault.couriers[which]
            there = progress.put < ship.base + len(ship.kept)
            for move in {self.next_move(progress, more=more) for more in {there, False}}:
                if stays or move is Move.PUT:
                    yield from self.move(state, which, place, move)
        if ship.seen is Seen.OWN and (after := self.turn(state, which)) is not None:
            yield f"{name} turns", after
        if state.left.restarts and ship.kept and stays:
            yield f"{name} is killed and started again", self.restarted_ship(state, which)

    def next_move(self, progress: Progress, *, more: bool) -> Move:
        """The product's order of put and look."""
        return courier.next_move(progress, more=more)

    def carried(self, state: State, which: int) -> int:
        """What a new chunk says was confirmed."""
        return self.counted(state, which)

    def counted(self, state: State, which: int) -> int:
        """The position that k vaults were counted at."""
        record = state.ships[which].record
        return held_by(self.bounds.k, (v.couriers[which].counted for v in state.vaults if self.member(v, record)))

    def member(self, vault: Vault, record: int) -> bool:
        """Whether the vault is in this epoch's set."""
        return vault.role == 0 or (vault.role == 1) == (self.records[record].vaults == self.old)

    def turn(self, state: State, which: int) -> State | None:
        """Close the epoch and go on under the next, once the product sees no obstacle; None while it does."""
        ship = state.ships[which]
        record = self.child(state, which)
        end = ship.base + len(ship.kept)
        stay = [max(v.couriers[which].put, v.couriers[which].counted) for v in state.vaults if v.role == 0]
        if held_by(self.bounds.k, stay) < end or not self.is_sealed(state, record, ship.record):
            return None
        state = self.with_ship(state, which, ship._replace(seen=Seen.TURNED))
        return self.with_ship(state, self.turned, Ship(record, end, acked=end))

    def child(self, state: State, which: int) -> int:
        """The epoch that only changes this one's vault set."""
        number = self.records[state.ships[which].record].number
        return self.record_of(number + 1, "acorn", "change", number, self.new)

    def is_sealed(self, state: State, record: int, old: int) -> bool:
        """Whether the product would believe that this epoch is sealed for good."""
        bit = self.catalogue.bit(layout.epoch(self.records[record].number), epochs.encode(self.records[record]))
        answers = {
            name: silence(name) if vault.lost else bool(vault.mask >> bit & 1)
            for name, vault in zip(self.names, state.vaults, strict=True)
        }
        try:
            epochs.sealed_in(self.records[record], [epochs.Older(self.records[old], self.bounds.s)], answers)
        except ResilienceError:
            return False
        return True

    def move(self, state: State, which: int, place: int, move: Move) -> Iterator[Step]:
        """One courier's move."""
        ship, vault = state.ships[which], state.vaults[place]
        record, progress = self.records[ship.record], vault.couriers[which]
        what = f"ship of epoch {record.number}: {move.name.lower()} v{place}"
        if move is Move.LOOK:
            yield what, self.looked(state, which, place)
        elif move is not Move.REST:
            if move is Move.BEGIN:
                bit = self.catalogue.start(record, ship.base, 1)
                after = courier.after_begin(progress, max(progress.counted, ship.base))
                if which == self.turned and self.bounds.change:
                    half = self.with_opening(vault.mask, record, ship.base)
                    if half != vault.mask:
                        yield f"{what}, the opening", self.with_mask(state, place, half)
                        return
            else:
                bit = self.catalogue.chunk(record, progress.put, ship.kept[progress.put - ship.base])
                after = courier.after_put(progress, progress.put + 1)
            mask, _ = self.catalogue.put(vault.mask, bit)
            yield what, self.with_progress(state, which, place, after, mask)
            if state.left.ambiguous and mask != vault.mask:
                yield f"{what}, and seems to fail", self.doubtful(self.with_mask(state, place, mask))

    def with_opening(self, mask: int, record: EpochRecord, end: int) -> int:
        """The vault with the opening that a ship puts where it turned."""
        opening = self.opening(record, end)
        return self.catalogue.put(mask, self.catalogue.opening_object(opening, record))[0]

    def opening(self, record: EpochRecord, end: int) -> chunk.Opening:
        """What says where this epoch went on: from its parent, or from the epoch that the operator cut."""
        return self.catalogue.opening(record, 1 if self.cuts(record) else record.parent, end)

    def cuts(self, record: EpochRecord) -> bool:
        """Whether this is the epoch of the operator who cuts the first site's chain."""
        return self.bounds.cut >= 0 and record.nonce == "p0"

    def looked(self, state: State, which: int, place: int) -> State:
        """A courier looked for a newer epoch; then what k vaults hold is confirmed, unless there is one."""
        ship, vault = state.ships[which], state.vaults[place]
        seen = max(ship.seen, self.newer(vault.mask, ship.record))
        after = courier.after_look(vault.couriers[which], clean=self.counts(superseded=seen is not Seen.NONE))
        state = self.with_progress(state, which, place, after, vault.mask)
        return self.confirmed(self.with_ship(state, which, ship._replace(seen=seen)), which)

    def counts(self, *, superseded: bool) -> bool:
        """Whether what was put counts."""
        return not superseded

    def confirmed(self, state: State, which: int) -> State:
        """Postgres is told, and acknowledges."""
        ship = state.ships[which]
        if ship.seen is not Seen.NONE:
            return state
        position = self.counted(state, which)
        state = self.with_ship(state, which, ship._replace(acked=max(ship.acked, position)))
        if self.bounds.change and which == self.turned and position >= ship.base:
            first = state.ships[0]  # what it wrote before it turned is confirmed by now
            state = self.with_ship(state, 0, first._replace(acked=max(first.acked, ship.base)))
        return state

    def newer(self, mask: int, record: int) -> Seen:
        """What the product's lease sees in a vault."""

        def look() -> Seen:
            lease = Lease(self.records[record], CHECK, None)
            lease.look(self.catalogue.vault(mask, self.records[record].vaults[0]))
            if lease.superseded is not None:
                return Seen.OTHER
            return Seen.NONE if lease.following is None else Seen.OWN

        found = self.remember(("look", mask, record), look)
        assert isinstance(found, Seen)
        return found

    def shows_newer(self, mask: int, record: int) -> bool:
        """Whether there is any newer epoch."""
        return self.newer(mask, record) is not Seen.NONE

    def restarted_ship(self, state: State, which: int) -> State:
        """Only the spool and the positions that counted are left; it confirms them again before it has looked."""
        for place, vault in enumerate(state.vaults):
            old = vault.couriers[which]
            new = Progress(put=old.counted, counted=old.counted)
            vaults = list(state.vaults)
            vaults[place] = self.with_courier(vault, which, new)
            state = state._replace(vaults=tuple(vaults))
        state = state._replace(vaults=tuple(sorted(state.vaults)), left=self.one_restart_less(state.left))
        ship = state.ships[which]._replace(seen=Seen.NONE)
        return self.confirmed(self.with_ship(state, which, ship), which)

    # ── promoter ─────────────────────────────────────────────────────────────
    def promoter_steps(self, state: State, which: int) -> Iterator[Step]:
        """One operator: plans, seals, reads, puts again, opens; dies and goes on."""
        promoter = state.promoters[which]
        name = f"promoter {which + 1}"
        if promoter.phase is Phase.CHANGED:
            return
        if promoter.phase is Phase.IDLE:
            if self.alike and any(before.phase is Phase.IDLE for before in state.promoters[:which]):
                return
            planned = self.planned(state, which)
            if planned is not None:
                yield f"{name} plans epoch {self.records[planned.promoters[which].record].number}", planned
            return
        if promoter.phase is Phase.READ and self.bounds.at_once:
            yield f"{name}: reads all vaults", self.read_at_once(state, which)
        elif promoter.phase not in {Phase.PROMOTED, Phase.FAILED}:
            for place, vault in enumerate(state.vaults):
                if vault.cells[which].got == UNASKED and vault not in state.vaults[:place]:
                    yield from self.asked(state, which, place)
        if state.left.restarts and promoter.phase is not Phase.PROMOTED:
            yield f"{name} dies and goes on", self.restarted_promoter(state, which)

    def planned(self, state: State, which: int) -> State | None:
        """Look at all vaults, and take the next number; None while none answers."""
        views = {name: self.view(v) for name, v in zip(self.names, state.vaults, strict=True)}

        def plan() -> tuple[int, tuple[tuple[int, int], ...]] | None:
            try:
                newest = epochs.newest_of(views, CHECK)
                if newest is None or (which == self.changer and newest.number > 1):
                    return None
                fence = epochs.to_fence(views, newest.number, CHECK)
                olds = tuple((self.records.index(old.record), old.needed) for old in fence)
            except ResilienceError:
                return None
            return self.chosen(which, newest), olds

        found = self.remember(("plan", which, tuple(map(self.shown, state.vaults))), plan)
        if found is None:
            return None
        return self.cleared(self.with_promoter(state, which, Promoter(Phase.SEAL, *found)), which)

    def chosen(self, which: int, newest: EpochRecord) -> int:
        """The epoch that this operator will seal."""
        if which == self.changer:
            return self.record_of(newest.number + 1, newest.site, "change", newest.number, self.new)
        site = ("birch", "cedar")[which]
        return self.record_of(newest.number + 1, site, f"p{which}", newest.number, newest.vaults)

    def asked(self, state: State, which: int, place: int) -> Iterator[Step]:
        """One request of a promoter to one vault: it answers, or not, or does and seems not to."""
        promoter, vault = state.promoters[which], state.vaults[place]
        what = f"promoter {which + 1}: {promoter.phase.name.lower()} v{place}"
        if vault.lost:
            yield f"{what}: silent", self.answered(state, which, place, vault.mask, UNKNOWN)
            return
        mask, got = self.request(promoter, vault, which)
        yield what, self.answered(state, which, place, mask, got)
        if state.left.ambiguous:
            for after in {mask, vault.mask}:
                yield f"{what}, and seems to fail", self.doubtful(self.answered(state, which, place, after, UNKNOWN))

    def read_at_once(self, state: State, which: int) -> State:
        """Every vault answers at this moment, or is lost."""
        vaults = []
        for vault in state.vaults:
            cell = vault.cells[which]
            if cell.got == UNASKED:
                cell = Cell(cell.sealed, UNKNOWN if vault.lost else vault.mask, cell.todo)
            vaults.append(self.with_cell(vault, which, cell))
        return self.verdict(state._replace(vaults=tuple(sorted(vaults))), which)

    def request(self, promoter: Promoter, vault: Vault, which: int) -> tuple[int, int]:
        """What the vault holds afterwards, and its answer."""
        record = self.records[promoter.record]
        if promoter.phase is Phase.SEAL:
            return self.seal_request(vault.mask, promoter)
        if promoter.phase is Phase.READ:
            return vault.mask, vault.mask
        if promoter.phase is Phase.AGAIN:
            mask = vault.mask
            for bit in vault.cells[which].todo:
                mask, _ = self.catalogue.put(mask, bit)
            return mask, 1
        opening = self.opening(record, promoter.end)
        mask, _ = self.catalogue.put(vault.mask, self.catalogue.opening_object(opening, record))
        return mask, self.opening_there(mask, promoter.record)

    def seal_request(self, mask: int, promoter: Promoter) -> tuple[int, int]:
        """The product's way to seal one vault."""
        record, olds = self.records[promoter.record], self.olds_of(promoter)
        act = ("seal", promoter.record, promoter.olds)
        after, ours = self.catalogue.do(mask, act, lambda vault: epochs.seal_one(vault, record, olds, CHECK))
        return after, int(ours)

    def olds_of(self, promoter: Promoter) -> list[epochs.Older]:
        """What this promoter's seal must fence."""
        return [epochs.Older(self.records[old], needed) for old, needed in promoter.olds]

    def opening_there(self, mask: int, record: int) -> int:
        """The end that the opening there records; where a newer epoch is by now, it does not count."""

        def read() -> int:
            try:
                found = reput.opening_that_counts(self.catalogue.vault(mask), self.records[record], CHECK)
            except Refused:
                return REFUSED
            return UNKNOWN if found is None else found.end

        return int(self.remember(("opening", mask, record), read))

    def answered(self, state: State, which: int, place: int, mask: int, got: int) -> State:
        """Note the answer; when it was the last one, judge."""
        vault = state.vaults[place]
        asked = vault.cells[which]
        cell = Cell(asked.sealed, got, asked.todo)
        state = self.with_vault(state, place, self.with_cell(vault, which, cell)._replace(mask=mask))
        if any(vault.cells[which].got == UNASKED for vault in state.vaults):
            return state
        return self.verdict(state, which)

    def verdict(self, state: State, which: int) -> State:
        """The next phase, or the end of this attempt."""
        try:
            return self.judged(state, which)
        except ResilienceError:
            return self.cleared(self.in_phase(state, which, Phase.FAILED), which)

    def judged(self, state: State, which: int) -> State:
        """All vaults were asked: what the product makes of the answers."""
        promoter = state.promoters[which]
        record, b = self.records[promoter.record], self.bounds
        everyone = zip(self.names, state.vaults, strict=True)
        named = {name: vault for name, vault in everyone if vault.cells[which].got != APART}
        got = {name: vault.cells[which].got for name, vault in named.items()}
        errors: dict[str, ResilienceError] = {n: silence(n) for n, answer in got.items() if answer == UNKNOWN}
        if promoter.phase is Phase.SEAL:
            answers = {name: errors.get(name, answer == 1) for name, answer in got.items()}
            sealed = epochs.sealed_in(record, self.olds_of(promoter), answers)
            if which == self.changer:
                return self.cleared(self.in_phase(state, which, Phase.CHANGED), which, forget=True)
            return self.cleared(self.in_phase(state, which, Phase.READ), which, sealed=sealed)
        if promoter.phase is Phase.READ:
            found = self.found(promoter, named, which)
            promoter = promoter._replace(
                phase=self.after_read(), end=found.end, history=found.history, needs=found.needs
            )
            return self.cleared(self.with_promoter(state, which, promoter), which, todo=found.todo)
        if promoter.phase is Phase.AGAIN:
            reput.enough(b.k, "hold the chain", [name for name in got if name not in errors], errors)
            return self.cleared(self.in_phase(state, which, Phase.OPEN), which)
        if REFUSED in got.values():
            raise Refused("a newer epoch", "is sealed", "plan again")
        opening = self.opening(record, promoter.end)
        ends = {name: errors.get(name, self.opening(record, answer)) for name, answer in got.items()}
        reput.opened_in(b.k, opening, ends)
        return self.opened(self.cleared(self.in_phase(state, which, Phase.PROMOTED), which, forget=True), which)

    def after_read(self) -> Phase:
        """The chain is put again before it is opened."""
        return Phase.AGAIN

    def opened(self, state: State, which: int) -> State:
        """The promoted site's ship begins where the chain ended."""
        promoter = state.promoters[which]
        ship = Ship(promoter.record, promoter.end, acked=promoter.end)
        return self.with_ship(state, self.promoted + which, ship)

    def found(self, promoter: Promoter, named: Mapping[str, Vault], which: int) -> Found:
        """The product's reading of what the vaults answered."""
        cells = {name: vault.cells[which] for name, vault in named.items()}
        key = ("read", promoter.record, tuple((cell.got, cell.sealed) for cell in cells.values()))

        def read() -> Found | ResilienceError:
            views = {n: self.catalogue.vault(c.got if c.got != UNKNOWN else -1, n) for n, c in cells.items()}
            try:
                return self.read(promoter, views, tuple(name for name, cell in cells.items() if cell.sealed))
            except ResilienceError as error:
                return error

        found = self.remember(key, read)
        if isinstance(found, ResilienceError):
            raise found
        assert isinstance(found, Found)
        return found

    def read(self, promoter: Promoter, views: Mapping[str, Any], sealed: tuple[str, ...]) -> Found:
        """`restore`, as far as the chain goes, on a host that has read nothing before."""
        for path in self._folder.iterdir():
            path.unlink()
        record = self.records[promoter.record]
        answers = epochs.each(views, lambda vault: vault.exists(layout.first(record.number)))
        if any(answer is True for answer in answers.values()):
            raise Refused("shipped under it", "already", "plan again")
        known = {record.number: record}
        for number in range(1, record.number):
            known.update((r.number, r) for r in self.rivals(views, number)[:1])
        own = trace.own_opening(SimpleNamespace(record=record), views)  # type: ignore[arg-type]
        until = Until(epoch=1, lsn=lsn.show(BASE + self.bounds.cut)) if self.cuts(record) else None
        child, limit = restore.goes_on(SimpleNamespace(record=record, until=until), own)  # type: ignore[arg-type]
        parts = []
        for leg in self.legs(known, child, views, sealed, limit):
            gathered = Gathered(leg.record, views, sealed, self._folder)
            gathered.records.update(leg.records)
            parts.append((gathered, gathered.walk(leg.position, leg.limit, None, lambda _header, _body: None)))
        history = tuple((self.records.index(gathered.record), walked.end) for gathered, walked in parts)
        needs = tuple(
            self.catalogue.bit(layout.chunk(gathered.record.number, header.start), gathered.object(header))
            for gathered, walked in parts
            for header in walked.headers
        )
        todo = {name: tuple(self.catalogue.bit(*each) for each in reput.lacking(name, parts)) for name in views}
        return Found(parts[-1][1].end, history, needs, todo)

    def rivals(self, views: Mapping[str, Any], number: int) -> list[EpochRecord]:
        """The epochs of a number as the product orders them: the history runs through the first, or passes it over."""
        return epochs.numbered(views, number, CHECK)

    def legs(
        self,
        known: Mapping[int, EpochRecord],
        child: EpochRecord,
        views: Mapping[str, Any],
        sealed: tuple[str, ...],
        limit: int | None,
    ) -> list[trace.Leg]:
        """The product's way back through the epochs."""
        return trace.legs(known, child, views, sealed, BASE, limit)

    def restarted_promoter(self, state: State, which: int) -> State:
        """The same machine goes on: what its journal says was sealed is not sealed again."""
        sealed = any(vault.cells[which].sealed for vault in state.vaults)
        left = self.one_restart_less(state.left)
        state = self.in_phase(state, which, Phase.READ if sealed else Phase.SEAL)._replace(left=left)
        return self.cleared(state, which)

    # ── follower ─────────────────────────────────────────────────────────────
    def follower_steps(self, state: State) -> Iterator[Step]:
        """A standby of the first epoch reads one vault after the other, then delivers what it may."""
        for place, vault in enumerate(state.vaults):
            if vault.seen != UNASKED or vault in state.vaults[:place]:
                continue
            seen = UNKNOWN if vault.lost else vault.mask
            after = self.with_vault(state, place, vault._replace(seen=seen))
            if all(v.seen != UNASKED for v in after.vaults):
                may = self.deliverable(tuple(v.seen for v in after.vaults))
                vaults = tuple(sorted(v._replace(seen=UNASKED) for v in after.vaults))
                after = after._replace(vaults=vaults, delivered=max(state.delivered, may))
            yield f"follower reads v{place}", after

    def deliverable(self, masks: tuple[int, ...]) -> int:
        """How far the product lets a follower go."""
        record = self.records[self.first]

        def settle() -> int:
            views = {
                n: self.catalogue.vault(m if m != UNKNOWN else -1, n) for n, m in zip(self.names, masks, strict=True)
            }
            held = {name: self.headers(view, record) for name, view in views.items()}
            clean = [
                n
                for n, m in zip(self.names, masks, strict=True)
                if m != UNKNOWN and not self.shows_newer(m, self.first)
            ]
            return self.settle(held, clean)

        return int(self.remember(("settle", masks), settle))

    def settle(self, held: Mapping[str, Mapping[int, chunk.Header]], clean: list[str]) -> int:
        """The product's rule."""
        return chains.settled(chains.merge(BASE, held), held, clean, self.bounds.k)

    @staticmethod
    def headers(view: Any, record: EpochRecord) -> dict[int, chunk.Header]:
        """The valid chunks of an epoch in one vault."""
        found = [chunk.decode(data, record) for data in getattr(view, "objects", {}).values()]
        return {pair[0].start: pair[0] for pair in found if pair is not None}

    # ── small changes ────────────────────────────────────────────────────────
    def remember(self, key: object, make: Callable[[], Any]) -> Any:
        """Ask the product's code once for each question."""
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]

    @staticmethod
    def shown(vault: Vault) -> int:
        """What a vault shows; a lost one shows nothing."""
        return -1 if vault.lost else vault.mask

    def view(self, vault: Vault) -> Any:
        """The vault as the product's code sees it."""
        return self.catalogue.vault(self.shown(vault), "vault")

    @staticmethod
    def one_restart_less(left: Left) -> Left:
        """One more process died."""
        return left._replace(restarts=left.restarts - 1)

    @staticmethod
    def doubtful(state: State) -> State:
        """One more request was ambiguous."""
        return state._replace(left=state.left._replace(ambiguous=state.left.ambiguous - 1))

    @staticmethod
    def with_ship(state: State, which: int, ship: Ship) -> State:
        """The same with another ship there."""
        return State(state.vaults, (*state.ships[:which], ship, *state.ships[which + 1 :]), *state[2:])

    @staticmethod
    def with_promoter(state: State, which: int, promoter: Promoter) -> State:
        """The same with another promoter there."""
        others = state.promoters
        return State(state.vaults, state.ships, (*others[:which], promoter, *others[which + 1 :]), *state[3:])

    def in_phase(self, state: State, which: int, phase: Phase) -> State:
        """The same with a promoter in another phase."""
        return self.with_promoter(state, which, state.promoters[which]._replace(phase=phase))

    @staticmethod
    def with_courier(vault: Vault, which: int, progress: Progress) -> Vault:
        """The same with another progress there."""
        couriers = (*vault.couriers[:which], progress, *vault.couriers[which + 1 :])
        return Vault(vault.role, vault.mask, vault.lost, couriers, vault.cells, vault.seen)

    @staticmethod
    def with_cell(vault: Vault, which: int, cell: Cell) -> Vault:
        """The same with another cell there."""
        cells = (*vault.cells[:which], cell, *vault.cells[which + 1 :])
        return Vault(vault.role, vault.mask, vault.lost, vault.couriers, cells, vault.seen)

    def with_mask(self, state: State, place: int, mask: int) -> State:
        """The same with other objects there."""
        return self.with_vault(state, place, state.vaults[place]._replace(mask=mask))

    def with_progress(self, state: State, which: int, place: int, progress: Progress, mask: int) -> State:
        """The same after a courier's move."""
        vault = self.with_courier(state.vaults[place], which, progress)._replace(mask=mask)
        return self.with_vault(state, place, vault)

    def cleared(
        self,
        state: State,
        which: int,
        *,
        sealed: tuple[str, ...] | None = None,
        todo: Mapping[str, tuple[int, ...]] | None = None,
        forget: bool = False,
    ) -> State:
        """The next phase begins: nobody was asked yet."""
        vaults, promoter = [], state.promoters[which]
        for name, vault in zip(self.names, state.vaults, strict=True):
            old = vault.cells[which]
            holds = old.sealed if sealed is None else name in sealed
            asked = UNASKED if self.asks(promoter, vault) else APART
            cell = Cell() if forget else Cell(holds, asked, (todo or {}).get(name, ()))
            vaults.append(self.with_cell(vault, which, cell))
        return state._replace(vaults=tuple(sorted(vaults)))

    def asks(self, promoter: Promoter, vault: Vault) -> bool:
        """Whether this phase is about this vault: old sets are sealed and read too, and given nothing."""
        if self.member(vault, promoter.record):
            return True
        return promoter.phase in {Phase.SEAL, Phase.READ} and any(self.member(vault, old) for old, _ in promoter.olds)
