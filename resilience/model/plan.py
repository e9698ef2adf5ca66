"""Plan: ordered steps, each with its reason; it knows its digest and its hazards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal


class Phase(StrEnum):
    """The parts an RTO is split into, in their order; `protect` is the second clock."""

    DECIDE = "decide"
    PROVISION = "provision"
    DATA = "data"
    START = "start"
    NAME = "name"
    PROTECT = "protect"


HAZARDS = frozenset(
    {
        "broken-chain",
        "cannot-seal",
        "kit-destroys-copies",
        "legal-order",
        "locked-copies",
        "long-pause",
        "loses-pictures",
        "loses-writes",
        "mass-erasure",
        "missed-epoch",
        "missed-order",
        "name-stays",
        "name-waits",
        "never-run-here",
        "no-certificate",
        "no-copy-yet",
        "no-next-standby",
        "no-spare-vault",
        "old-name-served",
        "primary-reads-snapshots",
        "set-stays",
        "silent-vault",
        "single-vault-left",
        "slow-name",
        "split-brain",
        "stale-ledger",
        "unverified-copy",
        "vault-destroyable",
        "vault-untried",
        "withdrawn-order",
    }
)
"""Every name that a hazard has; docs/failover.md explains each."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """A danger that the operator accepts by its name, or not at all."""

    name: str
    why: str
    reference: str = ""
    """Of the order that it is about, where it is about one: whoever signs off names it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. `action` names a method of the executor, `subject` what it acts on."""

    id: str
    action: str
    subject: str
    phase: Phase
    reason: str
    args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def beside(self) -> bool:
        """Whether it needs nothing of the step before it, and starts together with that one."""
        return bool(self.args.get("beside"))

    @property
    def then(self) -> bool:
        """Whether it follows the step before it, and waits for nothing that goes on beside that one."""
        return bool(self.args.get("then"))


def lane(steps: Iterable[Step], first: Literal["beside", "then"]) -> Iterator[Step]:
    """These, one after the other: beside the steps before them, or after the last of those and what it stands beside."""
    when: str = first
    for step in steps:
        yield replace(step, args={**step.args, when: True})
        when = "then"


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order, from a Fleet and a Survey; the same input gives the same digest."""

    kind: str
    fleet: str
    source: str
    target: str
    steps: tuple[Step, ...]
    hazards: tuple[Hazard, ...] = ()
    lost: tuple[str, ...] = ()
    """Vendors that carrying it out never calls."""
    unheard: tuple[str, ...] = ()
    """Vaults that did not answer, and that a forced plan does without; a plan that is not forced has none."""

    @property
    def under(self) -> str:
        """Nonce of the epoch of which it accepts hazards, where it seals none of its own; else empty."""
        return next((str(step.args["under"]) for step in self.steps if "under" in step.args), "")

    @property
    def groups(self) -> tuple[tuple[tuple[Step, ...], ...], ...]:
        """The steps: one group after the other; in a group lanes, side by side; in a lane steps, one after the other."""
        found: list[list[tuple[Step, ...]]] = []
        for step in self.steps:
            if step.beside and found:
                found[-1].append((step,))
            elif step.then and found:
                found[-1][-1] += (step,)
            else:
                found.append([(step,)])
        return tuple(tuple(group) for group in found)

    @property
    def forced(self) -> bool:
        """Whether too few vaults are left to fence the old site, and it is left all the same."""
        return any(step.args.get("forced") for step in self.steps)

    @property
    def forced_to_stay(self) -> bool:
        """Whether the set is forced to the vaults that are left, and the site goes on with what its own host has."""
        return self.forced and self.kind == "protect"

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, digest included."""
        return {**asdict(self), "digest": self.digest}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """From what `to_json` gave."""
        return cls(
            kind=data["kind"],
            fleet=data["fleet"],
            source=data["source"],
            target=data["target"],
            steps=tuple(Step(**{**step, "phase": Phase(step["phase"])}) for step in data["steps"]),
            hazards=tuple(Hazard(**hazard) for hazard in data["hazards"]),
            lost=tuple(data.get("lost", ())),
            unheard=tuple(data.get("unheard", ())),
        )

    @property
    def digest(self) -> str:
        """Names exactly this plan: sha256 over its canonical JSON, first 12 hex digits."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def unaccepted(self, accepted: frozenset[str]) -> tuple[Hazard, ...]:
        """Hazards of this plan that were not accepted by name."""
        return tuple(h for h in self.hazards if h.name not in accepted)
