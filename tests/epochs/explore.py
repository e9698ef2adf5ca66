"""Exploring: every state within the bounds, breadth first; the shortest way to a broken rule."""

from __future__ import annotations

import gc
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.epochs.catalogue import BASE
from tests.epochs.model import Model
from tests.epochs.rules import broken
from tests.epochs.states import Phase, Promoter, Seen, State


@dataclass
class Explored:
    """What was seen."""

    states: int = 0
    steps: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    """How many states show something that must be reachable, lest the rules hold for want of anything happening."""
    violation: str | None = None
    way: list[str] = field(default_factory=list)


def explore(model: Model, limit: int | None = None) -> Explored:
    """All states, or up to the first that breaks a rule; AssertionError past `limit`."""
    with uncollected():
        return breadth_first(model, limit)


@contextmanager
def uncollected() -> Iterator[None]:
    """No search for cycles among millions of tuples that have none: it took a quarter of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def breadth_first(model: Model, limit: int | None) -> Explored:
    """Each state once, nearest first."""
    first = model.initial()
    came: dict[State, tuple[State, str] | None] = {first: None}
    queue, found = deque([first]), Explored()
    while queue:
        state = queue.popleft()
        found.violation = broken(model, state)
        if found.violation:
            found.way = way(came, state)
            break
        found.seen.update(landmarks(model, state))
        for what, after in model.steps(state):
            found.steps += 1
            if after not in came:
                came[after] = (state, what)
                queue.append(after)
        assert limit is None or len(came) <= limit, f"more than {limit} states"
    found.states = len(came)
    return found


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


def way(came: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    """How it came to this."""
    steps: list[str] = []
    at: State | None = state
    while at is not None and (before := came[at]) is not None:
        at, what = before
        steps.insert(0, what)
    return steps
