"""Journal: what happened, append-only. The verdict is computed from it alone.

Kinds of events and what `data` holds (times are seconds since the Unix epoch):

==================  ====================================================================
drill-started       seed, size, fault, standby, durability, source, target, simulated,
                    ttl_s, promise {rto_s, rpo_s, human_decide_s}, vendors (all names)
stage-started/done  stage, (seconds): set-up of the lab, up, seed, snapshot, teardown
data                db_bytes, media_bytes, users, posts
plan                the plan as JSON
decided             digest, by ("drill" approves its own plan), accepted [hazard names]
fault               fault, vendors [names that are lost]
step-started        id, action, subject, phase, reason
step-done           id, action, phase, facts {..}
step-failed         id, action, phase, what, why, next
requests            list of [at, what, ok, ms, detail] as the users saw them
acknowledged        list of {id, at, media (sha256 or null)}: writes the app acknowledged
writes-checked      missing: ids of acknowledged writes that were not found afterwards;
                    unchecked: ids that could not be looked for
journey             ok, at, by ("name"), address, steps [[what, ms]], why (when not ok)
media-checked       objects, missing [sha256], corrupt [sha256]
takedowns-checked   issued, resurrected [ids]
fence               attempts, accepted
blackhole           vendors [names], calls [{from, vendor, address, port, packets}], complete
protected-again     at, vaults [names], snapshot
torn-down           left [what could not be removed]
==================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a journal."""

    at: float
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {"at": self.at, "kind": self.kind, **self.data}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Event:
        """From one JSON object."""
        data = {k: v for k, v in line.items() if k not in {"at", "kind"}}
        return cls(at=float(line["at"]), kind=str(line["kind"]), data=data)
