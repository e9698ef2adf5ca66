"""Verdict: measured against the promise: met, missed or unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["met", "missed", "unknown"]


@dataclass(frozen=True, slots=True)
class Rto:
    """Seconds from the fault to the first user's journey by public name; None is unknown.

    `promise_s` is the machine's part; `human_decide_s`, the time declared for a person to decide, comes on top
    of both the promise and what was measured, so it never changes the outcome. The parts sum to `measured_s`.
    """

    promise_s: float | None = None
    human_decide_s: float | None = None
    ttl_s: float | None = None
    measured_s: float | None = None
    decide_s: float | None = None
    provision_s: float | None = None
    data_s: float | None = None
    start_s: float | None = None
    name_s: float | None = None

    @property
    def with_person_s(self) -> float | None:
        """What was measured, with the declared time for a person to decide on top."""
        if self.measured_s is None or self.human_decide_s is None:
            return None
        return self.measured_s + self.human_decide_s


@dataclass(frozen=True, slots=True)
class Rpo:
    """Acknowledged writes that were looked for afterwards; seconds reach back from the fault."""

    promise_s: float | None = None
    measured_s: float | None = None
    acknowledged: int | None = None
    lost: int | None = None


@dataclass(frozen=True, slots=True)
class Newcomers:
    """People who signed up meanwhile and were told that they are in, and those who were looked for in vain."""

    told: int | None = None
    missing: int | None = None


@dataclass(frozen=True, slots=True)
class Media:
    """Pictures that surviving rows name, each looked for and read."""

    objects: int | None = None
    missing: int | None = None
    corrupt: int | None = None


@dataclass(frozen=True, slots=True)
class Takedowns:
    """What moderators took down, and how much of it was back after the failover."""

    issued: int | None = None
    resurrected: int | None = None


@dataclass(frozen=True, slots=True)
class Fence:
    """Writes tried at the old site, and those it acknowledged that the new one has not."""

    attempts: int | None = None
    accepted: int | None = None


@dataclass(frozen=True, slots=True)
class Blackhole:
    """Vendors nobody may call, and attempts to call them; a `calls` of 0 is proven or it is None."""

    vendors: tuple[str, ...] = ()
    calls: int | None = None


@dataclass(frozen=True, slots=True)
class Protection:
    """How the next loss would find the app: vaults with a verified copy, where it would go, and hazards that say it is thin."""

    vaults: tuple[str, ...] = ()
    next_site: str | None = None
    thin: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DataSizes:
    """How much data the drill carried."""

    db_bytes: int | None = None
    media_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judge's answer. `why` says what made it missed or unknown, one sentence each, misses first."""

    verdict: Outcome
    fault: str | None = None
    seed: int | None = None
    simulated: bool = False
    rto: Rto = Rto()
    reprotected_s: float | None = None
    rpo: Rpo = Rpo()
    newcomers: Newcomers = Newcomers()
    media: Media = Media()
    takedowns: Takedowns = Takedowns()
    blackhole: Blackhole = Blackhole()
    fence: Fence = Fence()
    data: DataSizes = DataSizes()
    protection: Protection = Protection()
    accepted_end: str | None = None
    """Where the operator accepted that a broken chain ends; such a recovery is never met."""
    why: tuple[str, ...] = ()
