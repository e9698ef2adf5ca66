"""Journal: what happened, append-only. The verdict is computed from it alone.

Kinds of events and what `data` holds. Times are seconds since the Unix epoch. A line is written when it is
known; where the thing itself happened at another moment, `at` in its data says so and is what counts (`when`).
Words in [brackets] may be left out; all else is proof, and without it the verdict is unknown.

==================  ====================================================================
drill-started       seed, fault, durability, ttl_s, promise {rto_s, rpo_s, human_decide_s}, simulated;
                    [size, standby, source, target, host (public name),
                    vendors (all names), sites {name: vendor}, vaults {name: vendor},
                    zones (vendor names), k, s, versions {part: version},
                    round (id of the round of `drill --all`, else empty), code (version, commit)]
stage-started/done  stage, [seconds]: set-up of the lab, up, seed, snapshot, teardown
data                db_bytes, media_bytes, [users, posts]; in a drill takedowns: how many posts were
                    taken down before the snapshot
taken-down          posts [ids]: what a drill took down after it, each acknowledged to the moderator
plan                [plan: the plan as JSON]
fault               fault, vendors [names that are lost], [why]: from here the RTO runs;
                    [stays: the primary's vendor is not among them, so the app goes on there];
                    [damage {vault: {objects, removed, written_over | changed}}]: what was done
                    to copies just before (hijack, bit-rot)
decided             digest, by ("drill" approves its own plan), accepted [hazard names]
step-started        id, action, subject, phase, reason
step-done           id, action, phase, facts {..}; [facts.vendor: whom it called, else found by subject]
step-failed         id, action, phase, what, why, next
requests            requests: list of [at, what, ok, ms, detail] as the users saw them
acknowledged        writes: list of {id, at, media (sha256 or null)} that the app acknowledged;
                    newcomer (true) where it is a person who was told that they are in
writes-checked      checked: how many acknowledged writes were looked for, found or not;
                    missing: ids of those that were not found;
                    unchecked: ids that could not be looked for. The last such event counts
journey             ok, at, by ("name"), address (where the name led), steps [[what, ms]],
                    why (when not ok). One that succeeds before the fault shows the old site's
                    address; so does facts.address of a `name` step done before the fault
media-checked       objects, missing [sha256], corrupt [sha256]. The last such event counts
takedowns-checked   issued (known to the ledger there), resurrected [ids]: as the app itself says
takedowns-seen      asked, shown, unchecked [ids]: what was taken down after the snapshot, as users find
                    it afterwards; proof where there is a `taken-down`
fence               attempts, accepted: writes tried at the old site; those it acknowledged
                    that are absent at the new one
blackhole           vendors [names], complete (the counters covered all hosts from the fault on),
                    calls [{from, vendor, address, port, attempts}]: new connections, and datagrams,
                    used [{from, vendor, address, port, used}]: packets with data on connections from before
looked              nonce, ledger, anchor, missing, corrupt, resurrected: a site before it is opened
opened, closed      stage, site: how far its gate is open from here on
held                stage, site, why: a stage whose condition does not hold yet
ship-knocks         calls: of the primary's ship and of standbys at silent vaults until they were told:
                    by another vault set where the app stays, by the first step on a standby that takes over
name-stays          site, address, change: no DNS vendor is left; where the site serves, and what a
                    person changes so that users find it by name
protected-again     at, vaults [names], snapshot: the second clock
next-standby        site, standby (hot, cold), account (true, false, why not known): where to go next
state-known         site, key: the state that this machine has of the stack is in the vaults under this
                    name: it put it there, or took it over
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

    @property
    def when(self) -> float:
        """When it happened: `at` in the data where it is there, else when it was written."""
        return float(self.data.get("at", self.at))

    def to_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {**self.data, "at": self.when, "kind": self.kind}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Event:
        """From one JSON object; KeyError or ValueError where it is none of ours."""
        data = {k: v for k, v in line.items() if k not in {"at", "kind"}}
        return cls(at=float(line["at"]), kind=str(line["kind"]), data=data)
