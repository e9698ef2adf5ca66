"""States of the model: plain tuples, so that two that are the same are found the same."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from resilience.replication.courier import Progress

UNASKED, UNKNOWN, REFUSED, APART = -1, -2, -3, -4
"""What a promoter has of a vault it has not asked, that did not answer, that refused, or that is none of its business."""
NOBODY = -1


@dataclass(frozen=True)
class Bounds:
    """How much may happen. Everything within them is explored."""

    n: int = 3
    k: int = 2
    s: int = 2
    chunks: int = 1
    """That the first site writes; so many commits."""
    held: int = 0
    """Commits that all vaults hold, and that were acknowledged, before anything else happens."""
    more: int = 1
    """That each promoted site writes."""
    promoters: int = 2
    losses: int = 1
    """Vaults that are lost for good, at any moment."""
    ambiguous: int = 1
    """Requests that do their work and seem to fail, or fail and do not."""
    restarts: int = 1
    """Processes (ship or promoter) that die and are started again."""
    follower: bool = False
    change: bool = False
    """Whether an operator also changes the vault set: one vault of n leaves, another one joins."""
    sealed: bool = False
    """Whether that change is sealed everywhere from the beginning: fewer states, and less is explored."""
    crossed: bool = False
    """Whether that change and the first promoter met half-way: its seal lies in s vaults, the change's in as many of its own."""
    cut: int = -1
    """After how many of the first site's commits the first promoter cuts its chain, by the operator's word; none where negative."""
    at_once: bool = False
    """Whether a promoter reads all vaults at one moment: fewer states, and less is explored."""


class Phase(IntEnum):
    """Where a promoter is."""

    IDLE = 0
    SEAL = 1
    READ = 2
    AGAIN = 3
    OPEN = 4
    PROMOTED = 5
    FAILED = 6
    CHANGED = 7


class Seen(IntEnum):
    """What a ship knows of newer epochs."""

    NONE = 0
    OWN = 1
    """One that only changes its vault set."""
    OTHER = 2
    TURNED = 3
    """It goes on under its own newer one."""


class Cell(NamedTuple):
    """What a promoter knows of one vault."""

    sealed: bool = False
    got: int = UNASKED
    todo: tuple[int, ...] = ()
    """Objects to put again there."""


class Vault(NamedTuple):
    """One vault; vaults that are in the same state are not told apart."""

    role: int
    """0 where it stays in the set, 1 where it leaves, 2 where it joins."""
    mask: int
    lost: bool
    couriers: tuple[Progress, ...]
    cells: tuple[Cell, ...]
    seen: int
    """What the follower read of it in this round."""


class Ship(NamedTuple):
    """One site's ship: its spool, and what it confirmed."""

    record: int = NOBODY
    base: int = 0
    kept: tuple[int, ...] = ()
    """For each chunk in the spool, the position it carries as confirmed."""
    seen: Seen = Seen.NONE
    acked: int = 0


class Promoter(NamedTuple):
    """One operator at work."""

    phase: Phase = Phase.IDLE
    record: int = NOBODY
    olds: tuple[tuple[int, int], ...] = ()
    """Epochs that its seal fences, and in how many of their vaults."""
    end: int = 0
    history: tuple[tuple[int, int], ...] = ()
    """Which epochs it found, and where each ends."""
    needs: tuple[int, ...] = ()
    """Chunks that its site rests on."""


class Left(NamedTuple):
    """What may still go wrong."""

    losses: int
    ambiguous: int
    restarts: int


class State(NamedTuple):
    """All of it."""

    vaults: tuple[Vault, ...]
    ships: tuple[Ship, ...]
    promoters: tuple[Promoter, ...]
    delivered: int
    """How far the follower went."""
    left: Left
