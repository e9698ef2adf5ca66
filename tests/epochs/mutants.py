"""Wrong ways to do it, each with one decision changed; the rules must catch every one of them.

The first five are the counter-examples that the design was shaped by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from resilience.model import EpochRecord, newest_first
from resilience.replication import chain as chains
from resilience.replication import courier, layout, trace
from resilience.replication import epoch as epochs
from resilience.replication.chunk import Header, decode_opening, decode_start
from resilience.replication.courier import Move, Progress
from resilience.replication.quorum import held_by
from tests.epochs.catalogue import BASE, CHECK, Silent
from tests.epochs.model import Model, Step
from tests.epochs.states import Phase, Promoter, State


class LooksBeforeItPuts(Model):
    """A ship looks for a newer epoch, and then puts: what is sealed in between it does not see."""

    def next_move(self, progress: Progress, *, more: bool) -> Move:
        """Look where nothing was looked at yet; `row` counts looks here."""
        if not progress.begun:
            return Move.BEGIN
        if not more:
            return Move.REST
        return Move.PUT if progress.row else Move.LOOK

    def looked(self, state: State, which: int, place: int) -> State:
        """A look that allows one put."""
        clean = not self.shows_newer(state.vaults[place].mask, state.ships[which].record)
        progress = state.vaults[place].couriers[which]
        after = progress._replace(row=1) if clean else progress
        return self.with_progress(state, which, place, after, state.vaults[place].mask)

    def with_progress(self, state: State, which: int, place: int, progress: Progress, mask: int) -> State:
        """What is put counts at once."""
        if progress.put > progress.counted:
            progress = progress._replace(counted=progress.put, row=0)
        return self.confirmed(super().with_progress(state, which, place, progress, mask), which)


class PutsNothingAgain(Model):
    """A promoter opens without putting the tail into k vaults: it may be in one only, which is then lost."""

    def after_read(self) -> Phase:
        """Open at once."""
        return Phase.OPEN


class DeliversWhatOneVaultHolds(Model):
    """A follower takes whatever it finds: it may be past the end that the next epoch records."""

    def settle(self, held: Mapping[str, Mapping[int, Header]], clean: list[str]) -> int:
        """The whole chain."""
        return chains.merge(BASE, held).end


class DeliversWithoutALook(Model):
    """A follower takes what k vaults hold, though a newer epoch is there: a superseded ship may have put it."""

    def settle(self, held: Mapping[str, Mapping[int, Header]], clean: list[str]) -> int:
        """Counted, not looked at."""
        return chains.settled(chains.merge(BASE, held), held, list(held), self.bounds.k)


class ResumesAnothersEpoch(Model):
    """A laptop stalls before it promotes; another machine goes on with its epoch; the first one wakes."""

    def chosen(self, which: int, newest: EpochRecord) -> int:
        """What somebody else sealed is taken for one's own."""
        return self.records.index(newest) if newest.number > 1 else super().chosen(which, newest)


class TakesAnyRefusalForItsOwn(Model):
    """A seal counts whatever is there, also another one's record of the same number."""

    def seal_request(self, mask: int, promoter: Promoter) -> tuple[int, int]:
        """There is one: good enough."""
        after, _ = super().seal_request(mask, promoter)
        return after, 1


class TakesAConflictForItsOwn(Model):
    """Where a store says 409 to a courier's create, the chunk counts as there; the create that was in its way then dies."""

    def move(self, state: State, which: int, place: int, move: Move) -> Iterator[Step]:
        """A put that puts nothing, too."""
        yield from super().move(state, which, place, move)
        if move is Move.PUT and state.left.ambiguous:
            vault = state.vaults[place]
            after = courier.after_put(vault.couriers[which], vault.couriers[which].put + 1)
            unchanged = self.with_progress(state, which, place, after, vault.mask)
            yield f"a conflict at v{place}", self.doubtful(unchanged)


class CountsWhatItHandedOver(Model):
    """A superseded ship notes what it put as held; killed and started again, it confirms that before it looks."""

    def counts(self, *, superseded: bool) -> bool:
        """Put is held."""
        return True


class QuorumsThatDoNotMeet(Model):
    """k + s = n: a seal can miss every vault that holds a chunk."""

    def counted(self, state: State, which: int) -> int:
        """One vault is enough."""
        return held_by(1, (vault.couriers[which].counted for vault in state.vaults))


class PassesOverACut(Model):
    """An epoch that was opened and shipped nothing is passed over with its opening: what the operator cut off comes back."""

    def legs(
        self,
        known: Mapping[int, EpochRecord],
        child: EpochRecord,
        views: Mapping[str, Any],
        sealed: tuple[str, ...],
        limit: int | None,
    ) -> list[trace.Leg]:
        """Openings of epochs without a start record are not looked at."""
        begun = {n for n in known if any(layout.first(n) in getattr(v, "objects", {}) for v in views.values())}
        for view in views.values():
            for number in known.keys() - begun - {child.number}:
                getattr(view, "objects", {}).pop(layout.opening(number), None)
        return super().legs(known, child, views, sealed, limit)


class BelievesWhatMoreVaultsHold(Model):
    """Of two epochs of one number that which more vaults hold is taken, and the other's records count as absent: so are its commits."""

    def rivals(self, views: Mapping[str, Any], number: int) -> list[EpochRecord]:
        """Nobody looks for what an epoch left that went on."""
        shown = {name: epochs.read(view, number, CHECK) for name, view in views.items() if not isinstance(view, Silent)}
        return newest_first({name: record for name, record in shown.items() if record is not None})

    def legs(
        self,
        known: Mapping[int, EpochRecord],
        child: EpochRecord,
        views: Mapping[str, Any],
        sealed: tuple[str, ...],
        limit: int | None,
    ) -> list[trace.Leg]:
        """What another key signed is not there; the product counts in how many vaults it is."""
        for view in views.values():
            for number, record in known.items():
                for key, decode in (layout.first(number), decode_start), (layout.opening(number), decode_opening):
                    if key in view.objects and decode(view.objects[key], record) is None:
                        del view.objects[key]
        return super().legs(known, child, views, sealed, limit)
