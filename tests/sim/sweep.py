"""Break one call of a plan, run the same command again, and look at what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from resilience.engine.execute import unfinished
from resilience.model.fleet import Durability
from resilience.simulation import Break
from tests.sim.plans import Swept
from tests.sim.stage import Stage, attempt

READS = (".get", ".list", ".read", ".is_open", ".addresses", ".outputs", ".state", ".facts", ".status", ".verify")
How = Literal["error", "killed", "closed"]


@dataclass(frozen=True)
class Tried:
    """What came of one broken call."""

    planned: Break
    stopped: bool
    """The command said so and was run again; else it went on by itself."""


def calls(swept: Swept, durability: Durability = "async") -> Counter[str]:
    """How often one command that goes well calls each door."""
    stage = swept.begin(durability)
    before = Counter(stage.state.doors.calls)
    swept.command(stage.operator)
    swept.ends(stage)
    return stage.state.doors.calls - before


def breaks(swept: Swept, how: How, durability: Durability = "async") -> Iterator[Break]:
    """Each call of the command, broken before its effect and, where it has one, after it.

    To be killed while reading is to be killed before the next effect, so that is swept with the effects.
    """
    for door, count in sorted(calls(swept, durability).items()):
        reads = door.endswith(READS)
        if reads and how == "killed":
            continue
        for call in range(1, count + 1):
            for after in (False,) if reads else (False, True):
                yield Break(door, call, after=after, how=how)


def broken(stage: Stage, swept: Swept, planned: Break) -> str | None:
    """The command with one broken call; what it ended with."""
    stage.break_next(planned.door, after=planned.after, how=planned.how, call=planned.call)
    return attempt(partial(swept.command, stage.operator))


def tried(swept: Swept, planned: Break, durability: Durability) -> Tried:
    """The command with one broken call, and again where it stopped: it ends well, or this raises AssertionError."""
    stage = swept.begin(durability)
    begun = finished(stage)
    said = broken(stage, swept, planned)
    assert stage.state.doors.broken, planned
    stopped = said is not None and finished(stage) == begun
    if stopped:
        again = attempt(partial(swept.command, stage.operator))
        assert again is None, (planned, said, again)
    assert unfinished(stage.world, swept.kind) is None, planned
    swept.ends(stage)
    return Tried(planned, stopped)


def finished(stage: Stage) -> int:
    """How many plans ran to their end."""
    return sum(event.kind == "finished" for event in stage.state.events)
