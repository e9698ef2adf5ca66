"""What must hold in every state."""

from __future__ import annotations

from itertools import combinations

from tests.epochs.catalogue import BASE
from tests.epochs.model import Model
from tests.epochs.states import NOBODY, Phase, Promoter, Ship, State


def broken(model: Model, state: State) -> str | None:
    """The rule that this state breaks; None where all hold."""
    promoted = [p for p in state.promoters if p.phase is Phase.PROMOTED]
    for one, two in combinations(promoted, 2):
        if model.records[one.record].number == model.records[two.record].number:
            return f"two sites opened epoch {model.records[one.record].number}"
    for promoter in promoted:
        if told := missing(model, state, promoter) or thin(model, state, promoter):
            return told
    return None


def missing(model: Model, state: State, promoter: Promoter) -> str | None:
    """Every acknowledged commit is in the history of whoever was promoted, now or long ago; no follower is past it.

    What an operator cut off is no part of it, and never comes back.
    """
    ends = dict(promoter.history)
    number = model.records[promoter.record].number
    cutter = cut_by(model, state, number)
    for ship in state.ships:
        if ship.record == NOBODY or not older(model, ship, number):
            continue
        if reached(model, cutter, ship) > ends.get(ship.record, ship.base):
            return f"a commit acknowledged under epoch {model.records[ship.record].number} is not in epoch {number}"
    if cutter is not None and cutter.phase is Phase.PROMOTED and ends.get(model.first, BASE) > BASE + model.bounds.cut:
        return f"what the operator cut off is there again in epoch {number}"
    if state.delivered > ends.get(model.first, BASE):
        return f"the follower went past the end that epoch {number} records"
    return None


def cut_by(model: Model, state: State, number: int) -> Promoter | None:
    """Who cut the first site's chain for an epoch that this one may go on from, or is."""
    cutter = state.promoters[0]
    if cutter.record == NOBODY or not model.cuts(model.records[cutter.record]):
        return None
    return cutter if model.records[cutter.record].number <= number else None


def reached(model: Model, cutter: Promoter | None, ship: Ship) -> int:
    """Up to where what this ship acknowledged must be there still: of epochs before a cut, only what lies before it."""
    if cutter is None or not older(model, ship, model.records[cutter.record].number):
        return ship.acked
    return min(ship.acked, BASE + model.bounds.cut) if ship.record == model.first else ship.base


def older(model: Model, ship: Ship, number: int) -> bool:
    """Whether this ship's epoch came before."""
    return model.records[ship.record].number < number


def thin(model: Model, state: State, promoter: Promoter) -> str | None:
    """What a promoted site rests on was put into k vaults, so that the loss of any k - 1 takes nothing away."""
    for bit in promoter.needs:
        if sum(v.mask >> bit & 1 for v in state.vaults if model.member(v, promoter.record)) < model.bounds.k:
            return f"epoch {model.records[promoter.record].number} rests on a chunk that fewer than k vaults were given"
    return None
