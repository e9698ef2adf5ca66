"""What a check found about one thing: pass, warn, fail or unknown, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from resilience.model.probe import Probe, Trial
from resilience.model.replay import Replay
from resilience.model.survey import Reading

Grade = Literal["pass", "warn", "fail", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check."""

    area: str
    subject: str
    grade: Grade
    said: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check looks at beside the survey."""

    probes: Mapping[str, Reading[Probe]] = field(default_factory=dict)
    """By vault: what its store was seen to do."""
    lacking: tuple[str, ...] = ()
    """What the kit does not hold, in words."""
    plugins: Mapping[str, bool] = field(default_factory=dict)
    """Stack → its provider is on this machine, so that no network is needed for it."""
    skew_s: Mapping[str, Reading[float]] = field(default_factory=dict)
    """By vault: how far its clock is ahead of this machine's."""
    vendors: Mapping[str, Reading[tuple[Trial, ...]]] = field(default_factory=dict)
    """By site: what its vendor told when it was asked with the site's credentials."""
    rates: Mapping[str, float | None] = field(default_factory=dict)
    """By vault: bytes a second that it gave to one reader; None where it has nothing to give yet."""
    versions: Mapping[str, Reading[Mapping[str, str]]] = field(default_factory=dict)
    """By vault: architecture, Postgres and collation of the newest snapshot there."""
    hosts: Mapping[str, Reading[Mapping[str, str] | None]] = field(default_factory=dict)
    """By site: the same of its host, as far as that has it; None where there is no host."""
    replay: Replay | None = None
    """What a cold restore would have to replay."""
