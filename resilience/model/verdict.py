"""Verdict: measured against the promise: met, missed or unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["met", "missed", "unknown"]


@dataclass(frozen=True, slots=True)
class Rto:
    """Seconds from the fault to the first user's journey by public name; None is unknown."""

    promise_s: float
    human_decide_s: float
    ttl_s: float
    measured_s: float | None = None
    decide_s: float | None = None
    provision_s: float | None = None
    data_s: float | None = None
    start_s: float | None = None
    name_s: float | None = None


@dataclass(frozen=True, slots=True)
class Rpo:
    """Acknowledged writes that were looked for afterwards; seconds reach back from the fault."""

    promise_s: float
    measured_s: float | None = None
    acknowledged: int | None = None
    lost: int | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Two or three counted facts; None is unknown."""

    media: dict[str, int | None]
    takedowns: dict[str, int | None]
    fence: dict[str, int | None]
    blackhole: dict[str, Any]
    data: dict[str, int | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judge's answer. `why` says what made it missed or unknown, one sentence each."""

    verdict: Outcome
    fault: str
    seed: int | None
    simulated: bool
    rto: Rto
    rpo: Rpo
    reprotected_s: float | None
    counts: Counts
    why: tuple[str, ...] = ()
