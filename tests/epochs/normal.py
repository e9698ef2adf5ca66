"""Normal forms: a state without what nobody will ask for again, so that states with the same future are one.

The rules are asked of every step's outcome as it is. Then is left out, because it changes nothing that can come after:

1. What a ship was counted at, once nothing it counts is confirmed: it saw another site's epoch, keeps no more chunks
   and is not killed again; or it never keeps any. Such a ship only puts. Whether a courier should look goes with it, and
   goes once another site's epoch was seen in any case, unless such a look counts (in a mutant it does).
2. Of a lost vault all but the chunks it was given and what was counted there: nobody hears from it.
3. What a promoter asked that is at its end. After the chain was read: what was sealed, which only a promoter that is
   started again looks up, and what of its chain a vault has got by now.
4. When all promoters are at their end and no follower reads: all objects but epochs' records, for nobody reads a chain,
   and whether a request may still be ambiguous; and everything else, too, once no ship confirms anything.
5. What a promoted site writes, once every promoter has planned and none plans a newer epoch: nobody reads it, nor must find it.
   (Not while a request may be ambiguous or a process die: what happens to that ship takes one of these from others.)

Three things happen at once, since they go the same way whenever they happen:

6. The first chunk is in the spool from the beginning: it is seen when it is put. (Not where the vault set changes.)
7. A promoter asks a lost vault, and hears nothing; it gives nothing to a vault that lacks nothing and can't fail any
   more. (Not while one may still be started again: it could be before it has heard from all. Not when it opens: the
   rules must see it promoted.)
8. A follower asks a lost vault. One that has all there will ever be asks no more.

`test_what_is_left_out_changes_nothing` explores with and without: the normal forms of all states are the very states
that are explored.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NamedTuple

from resilience.replication.courier import Progress
from tests.epochs.catalogue import BASE
from tests.epochs.model import Model
from tests.epochs.states import NOBODY, UNASKED, UNKNOWN, Cell, Left, Phase, Promoter, Seen, Ship, State, Vault


class Ahead(NamedTuple):
    """What of a vault still matters: the same for all vaults of a state."""

    puts_only: tuple[bool, ...]
    """For each ship, whether nothing it counts is confirmed."""
    looks: tuple[bool, ...]
    """For each ship, whether a look may change anything."""
    seals: tuple[bool, ...]
    """For each promoter, whether what was sealed is looked up again."""
    ended: tuple[bool, ...]
    """For each promoter, whether it does nothing more."""
    read: bool
    """Whether anybody reads a chain."""
    follows: bool
    """Whether the follower does."""
    confirms: bool
    """Whether any ship may confirm anything."""
    unread: int
    """Objects that nobody reads any more."""
    last: tuple[int, ...]
    """For each ship, the position after which nobody must find what it writes."""

    @property
    def nothing(self) -> bool:
        """Whether nothing matters any more."""
        return not self.read and not self.confirms


class Normal:
    """Normal forms within one model; equal parts are the same object."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._asking = {Phase.SEAL, Phase.AGAIN} if model.bounds.at_once else {Phase.SEAL, Phase.READ, Phase.AGAIN}
        self._rests: dict[object, tuple[tuple[Ship, ...], tuple[Promoter, ...], Left, Ahead]] = {}
        self._vaults: dict[tuple[Vault, Ahead], Vault] = {}

    def __call__(self, state: State) -> State:
        """The state that stands for this one."""
        state = self._without(state)
        while (after := self._at_once(state)) is not None:
            state = self._without(after)
        return state

    # ── left out ─────────────────────────────────────────────────────────────
    def _without(self, state: State) -> State:
        rest = state.ships, state.promoters, state.left, state.delivered
        if rest not in self._rests:
            self._rests[rest] = self._rest(state)
        ships, promoters, left, ahead = self._rests[rest]
        vaults = []
        for vault in state.vaults:
            found = self._vaults.get((vault, ahead))
            if found is None:
                found = self._vaults[vault, ahead] = self._vault(vault, ahead)
            vaults.append(found)
        vaults.sort()
        return State(tuple(vaults), ships, promoters, state.delivered, left)

    def _rest(self, state: State) -> tuple[tuple[Ship, ...], tuple[Promoter, ...], Left, Ahead]:
        """Everything but the vaults, and what of these matters."""
        model, left = self._model, state.left
        ended = tuple(self._ended(promoter, left) for promoter in state.promoters)
        follows = model.bounds.follower and state.delivered < BASE + model.bounds.chunks + model.bounds.held
        puts_only = tuple(self._puts_only(state, which) for which in range(len(state.ships)))
        blind = not model.counts(superseded=True)
        ahead = Ahead(
            puts_only,
            looks=tuple(not (blind and ship.seen is Seen.OTHER) for ship in state.ships),
            seals=tuple(bool(left.restarts) or p.phase in {Phase.SEAL, Phase.READ} for p in state.promoters),
            ended=ended,
            read=follows or not all(ended),
            follows=follows,
            confirms=not all(puts_only),
            unread=sum(bits for number, bits in model.catalogue.written.items() if number >= self._ceiling(state)),
            last=tuple(self._last(state, which) for which in range(len(state.ships))),
        )
        if ahead.nothing:
            left = Left(0, 0, 0)
        elif not ahead.read:
            left = left._replace(ambiguous=0)
        promoters = tuple(self._promoter(p, left, ended=end) for p, end in zip(state.promoters, ended, strict=True))
        return self._ships(state, ahead), promoters, left, ahead

    @staticmethod
    def _ended(promoter: Promoter, left: Left) -> bool:
        """Whether this promoter does nothing more."""
        return promoter.phase in {Phase.PROMOTED, Phase.CHANGED} or (
            promoter.phase is Phase.FAILED and not left.restarts
        )

    def _ceiling(self, state: State) -> int:
        """The number from which on nobody reads what is written under it; past all numbers where that can't be told yet."""
        planned = [promoter for place, promoter in enumerate(state.promoters) if place != self._model.changer]
        if state.left.ambiguous or state.left.restarts or any(p.phase is Phase.IDLE for p in planned):
            return sys.maxsize
        numbers = [self._model.records[p.record].number for p in planned if p.phase is not Phase.FAILED]
        return max(numbers, default=sys.maxsize)

    def _last(self, state: State, which: int) -> int:
        """The position after which nobody must find what this ship writes."""
        ship = state.ships[which]
        if which < self._model.promoted or ship.record == NOBODY:
            return sys.maxsize
        return ship.base if self._model.records[ship.record].number >= self._ceiling(state) else sys.maxsize

    def _ships(self, state: State, ahead: Ahead) -> tuple[Ship, ...]:
        """The first chunk is kept from the beginning; one that never writes need not know of newer epochs."""
        ships = [
            ship._replace(seen=Seen.NONE, kept=ship.kept[: last - ship.base], acked=min(ship.acked, last))
            if last != sys.maxsize or self._never_writes(which)
            else ship
            for which, (ship, last) in enumerate(zip(state.ships, ahead.last, strict=True))
        ]
        if not ships[0].kept and self._model.bounds.chunks and not self._model.bounds.change:
            ships[0] = ships[0]._replace(kept=(BASE,))
        return tuple(ships)

    def _never_writes(self, which: int) -> bool:
        """Whether this is a promoted site's ship, and those keep no chunks here."""
        return which >= self._model.promoted and not self._model.bounds.more

    def _puts_only(self, state: State, which: int) -> bool:
        """Whether nothing that this ship counts is confirmed."""
        ship = state.ships[which]
        full = len(ship.kept) >= (self._model.bounds.more if which else self._model.bounds.chunks)
        deaf = full and ship.seen is Seen.OTHER and not state.left.restarts
        return deaf or self._never_writes(which) or self._last(state, which) != sys.maxsize

    def _promoter(self, promoter: Promoter, left: Left, *, ended: bool) -> Promoter:
        if ended and promoter.phase is Phase.FAILED:
            return Promoter(Phase.FAILED, promoter.record if self._model.bounds.cut >= 0 else NOBODY)
        if ended:
            return promoter._replace(olds=(), needs=())
        if promoter.phase in {Phase.AGAIN, Phase.OPEN} and not left.restarts:
            return promoter._replace(olds=())
        return promoter

    def _vault(self, vault: Vault, ahead: Ahead) -> Vault:
        """One vault, as far as it matters."""
        if ahead.nothing:
            rest = (Progress(),) * len(vault.couriers), (Cell(),) * len(vault.cells)
            return Vault(vault.role, 0, False, *rest, UNKNOWN)
        mask, seen, catalogue = vault.mask & ~ahead.unread, vault.seen, self._model.catalogue
        if vault.lost:
            mask &= catalogue.chunks
        if not ahead.read:
            mask &= catalogue.epochs
        if seen >= 0:
            seen &= catalogue.epochs | catalogue.chunks
        couriers = tuple(self._courier(vault, which, ahead) for which in range(len(vault.couriers)))
        cells = tuple(self._cell(vault, which, ahead) for which in range(len(vault.cells)))
        return Vault(vault.role, mask, vault.lost, couriers, cells, seen if ahead.follows else UNKNOWN)

    def _courier(self, vault: Vault, which: int, ahead: Ahead) -> Progress:
        progress = vault.couriers[which]
        if vault.lost:
            put = min(progress.put, ahead.last[which]) if self._model.bounds.change else 0
            return Progress(False, put, 0 if ahead.puts_only[which] else progress.counted, 0)
        if ahead.puts_only[which]:
            put = min(progress.put if progress.begun else progress.counted, ahead.last[which])
            return Progress(progress.begun, put, put, 0)
        return progress if ahead.looks[which] else progress._replace(row=0)

    @staticmethod
    def _cell(vault: Vault, which: int, ahead: Ahead) -> Cell:
        cell = vault.cells[which]
        if ahead.ended[which]:
            return Cell()
        lacks = cell.got == UNASKED and not vault.lost
        todo = tuple(bit for bit in cell.todo if not vault.mask >> bit & 1) if lacks else ()
        return Cell(cell.sealed and ahead.seals[which], cell.got, todo)

    # ── at once ──────────────────────────────────────────────────────────────
    def _at_once(self, state: State) -> State | None:
        """The state after something that may as well happen now; None where there is nothing of this kind."""
        for which, place in self._may_ask(state):
            if (got := self._answer(state, which, place)) != UNASKED:
                return self._model.answered(state, which, place, state.vaults[place].mask, got)
        unread = [place for place, vault in enumerate(state.vaults) if vault.seen == UNASKED]
        for place in unread if self._model.bounds.follower and len(unread) > 1 else []:
            if state.vaults[place].lost:
                return self._model.with_vault(state, place, state.vaults[place]._replace(seen=UNKNOWN))
        return None

    def _may_ask(self, state: State) -> Iterator[tuple[int, int]]:
        """Promoters with the vaults that they may as well ask now, if the answer is known."""
        for which, promoter in enumerate(state.promoters):
            if promoter.phase in self._asking and not state.left.restarts:
                yield from ((which, place) for place, v in enumerate(state.vaults) if v.cells[which].got == UNASKED)

    @staticmethod
    def _answer(state: State, which: int, place: int) -> int:
        """What a vault answers whenever it is asked; UNASKED where that depends."""
        vault = state.vaults[place]
        if vault.lost:
            return UNKNOWN
        nothing = state.promoters[which].phase is Phase.AGAIN and not vault.cells[which].todo
        return 1 if nothing and not state.left.losses and not state.left.ambiguous else UNASKED
