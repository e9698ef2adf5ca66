"""Exploring: every state within the bounds, breadth first; the shortest way to a broken rule."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from tests.epochs.catalogue import BASE
from tests.epochs.model import Model
from tests.epochs.normal import Normal
from tests.epochs.reached import Reached
from tests.epochs.rules import broken
from tests.epochs.states import Phase, Promoter, Seen, State


@dataclass
class Explored:
    """What was seen."""

    reached: Reached
    steps: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    """How many states show something that must be reachable, lest the rules hold for want of anything happening."""
    violation: str | None = None
    way: list[str] = field(default_factory=list)

    @property
    def states(self) -> int:
        """How many there are."""
        return len(self.reached)


def explore(model: Model, *, full: bool = False) -> Explored:
    """All states, or up to the first step that breaks a rule; `full` tells those apart that have the same normal form."""
    with uncollected():
        return breadth_first(model, (lambda state: state) if full else Normal(model))


@contextmanager
def uncollected() -> Iterator[None]:
    """No search for cycles among millions of tuples that have none: it took a quarter of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def breadth_first(model: Model, normal: Callable[[State], State]) -> Explored:
    """Each state once, nearest first."""
    found = Explored(Reached(normal(model.initial())))
    place = 0
    while place < found.states:
        state = found.reached[place]
        found.seen.update(landmarks(model, state))
        for what, after in model.steps(state):
            found.steps += 1
            found.violation = broken(model, after)
            if found.violation is not None:
                found.way = [*way(model, normal, found.reached.way(place)), what]
                return found
            found.reached.add(normal(after), place)
        place += 1
    return found


def way(model: Model, normal: Callable[[State], State], states: list[State]) -> list[str]:
    """What happened between these states."""
    return [next(what for what, after in model.steps(one) if normal(after) == two) for one, two in pairwise(states)]


def landmarks(model: Model, state: State) -> list[str]:
    """What is worth counting."""
    told = []
    promoted = [p for p in state.promoters if p.phase is Phase.PROMOTED]
    if len(promoted) == 1:
        told.append("one promoted")
    if len(promoted) > 1:
        told.append("both promoted")
    if any(p.phase is Phase.FAILED for p in state.promoters):
        told.append("a promotion failed")
    if any(ship.acked > ship.base for ship in state.ships if ship.base):
        told.append("acknowledged")
    if any(ship.acked > ship.base for ship in state.ships[1:] if ship.base):
        told.append("acknowledged after a promotion")
    if state.ships[0].seen is Seen.OTHER:
        told.append("superseded")
    if state.ships[0].seen is Seen.TURNED:
        told.append("turned")
        if state.ships[1].acked > state.ships[1].base:
            told.append("acknowledged after turning")
        if promoted:
            told.append("one promoted after turning")
    return told + cut_off(model, state, promoted)


def cut_off(model: Model, state: State, promoted: list[Promoter]) -> list[str]:
    """Where an operator cuts the chain: whether that met a commit, and who was promoted."""
    if model.bounds.cut < 0 or not promoted or state.ships[0].acked <= BASE + model.bounds.cut:
        return []
    if state.promoters[0].phase is not Phase.PROMOTED:
        return ["promoted without the cut"]
    return ["a commit was cut off", *(["promoted after a cut"] if len(promoted) > 1 else [])]
