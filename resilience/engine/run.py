"""Run: what a step needs to know while its plan is being carried out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resilience.errors import Refused, ResilienceError
from resilience.model import EpochRecord, Event, Fleet, Plan, SiteOutputs
from resilience.ports import World
from resilience.replication.epoch import newest_of, own_epochs, sealed_for_good

Facts = Mapping[str, Any]
"""What a step found or did."""


@dataclass(frozen=True)
class Run:
    """One plan under way; facts are read from the world again each time."""

    world: World
    fleet: Fleet
    plan: Plan

    def note(self, kind: str, **data: object) -> None:
        """Journal something that happened within a step."""
        self.world.log.append(Event(self.world.clock.now(), kind, data))

    def tell(self, site: str) -> None:
        """Journal by which rules this site may write from now on: whoever fences it waits for its lease, whatever the file says then."""
        self.note("told", site=site, lapse_s=self.fleet.replication.lapse_s)

    def outputs(self, site: str) -> SiteOutputs:
        """What the site's stack exported; an error when it was never made."""
        outputs = self.world.clouds[site].outputs(self.fleet.site(site))
        if outputs is None:
            raise ResilienceError(
                f"{site} has no hosts yet.",
                "Its stack has never been brought up, or its state is gone.",
                f"Made on another machine: `resilience stack restore {site}`. Else run `resilience up {site}`, or the failover again.",
            )
        return outputs

    def accepts(self, record: EpochRecord, *hazards: str) -> bool:
        """Whether one of these hazards was accepted of this epoch: by this plan, or by one before it in this journal.

        Where an epoch only changed the vault set the history is the same, and what was accepted of it still holds.
        """
        if any(hazard.name in hazards for hazard in self.plan.hazards):
            return True
        events = self.world.log.read()
        return any(not accepted_of(events, nonce).isdisjoint(hazards) for nonce in self.written_under(record))

    def written_under(self, record: EpochRecord) -> list[str]:
        """Nonces of the epochs under which this record's host has written without a break, the newest first."""
        return [epoch.nonce for epoch in own_epochs(self.world.vaults, record, self.world.signer.verify)]

    def nonces(self) -> frozenset[str]:
        """Nonces of epochs that this journal set out to seal."""
        return frozenset(str(event.data["nonce"]) for event in self.world.log.read() if event.kind == "sealing")

    def sealed(self, record: EpochRecord) -> Facts | None:
        """What this journal noted when it first saw that enough vaults hold this epoch; None where it did not yet."""
        for event in self.world.log.read():
            sealed = event.kind == "step-done" and event.data.get("action") == "seal"
            if sealed and event.data["facts"].get("nonce") == record.nonce:
                return dict(event.data["facts"])
        return None

    def since_seal(self, record: EpochRecord) -> float:
        """Seconds since then by a clock that nobody sets; 0 where that can't be told, as after a boot or on another machine."""
        noted, now = self.sealed(record) or {}, self.world.clock.uptime()
        return max(0.0, now.seconds - noted["uptime_s"]) if noted.get("boot") == now.boot else 0.0

    def found(self, action: str, site: str) -> Facts:
        """What this plan's step of that action found at the site when it was last done; empty where it was not."""
        found: Facts = {}
        for event in self.events("step-done"):
            if (event.data.get("action"), event.data.get("subject")) == (action, site):
                found = event.data["facts"]
        return found

    def events(self, kind: str) -> list[Event]:
        """What the journal has of this kind by this very plan, as far as it is not finished; a plan before it left other traces."""
        found: list[Event] = []
        for event in written_by(self.world, self.plan):
            if event.kind in {"finished", "ended"}:
                found.clear()
            elif event.kind == kind:
                found.append(event)
        return found

    def set_out_to_seal(self) -> bool:
        """Whether this very plan ever began its seal: before that, nothing is decided."""
        return any(sets_out_to_seal(event) for event in self.events("step-started"))

    def to_tell(self, site: str, record: EpochRecord) -> EpochRecord:
        """What this site's host is told of where that is the newest epoch: no change of the set that may go with the one vault it is in.

        From then on the host would take no other. One that was told of it all the same, by an older build or by force, is told of it again.
        """
        if self.sealed(record) is not None:
            return record
        found = sealed_for_good(self.world.vaults, record, self.world.signer.verify)
        if found == record or record.site != site:
            return found
        told = self.world.plane.database(self.fleet.site(site), self.outputs(site))["told"]
        return record if told == record.nonce else found

    def others_epoch(self, site: str) -> EpochRecord:
        """The newest epoch; Refused where it lets this very site write."""
        newest = self.newest()
        if newest.site == site:
            raise Refused(
                f"{site} can't stand by.",
                f"Epoch {newest.number} lets it write.",
                "Run `resilience status`, then plan again.",
            )
        return newest

    def epoch(self, site: str) -> EpochRecord:
        """The newest epoch; Refused unless it lets `site` write."""
        newest = self.newest()
        if newest.site != site:
            raise _not_ours(site, f"epoch {newest.number} names {newest.site}")
        return newest

    def newest(self) -> EpochRecord:
        """The newest epoch; Refused where there is none, or where somebody else went on since this plan sealed its own."""
        newest = newest_of(self.world.vaults, self.world.signer.verify)
        if newest is None:
            raise _not_ours("This plan's site", "there is no epoch")
        if self._overtaken_by(newest):
            raise _not_ours(self.plan.target, f"another machine sealed epoch {newest.number} since, for {newest.site}")
        return newest

    def _overtaken_by(self, newest: EpochRecord) -> bool:
        """Whether an epoch came after the one of this plan that goes on from none that this journal set out to seal, whichever site it names."""
        numbers = [int(event.data["number"]) for event in self.events("sealing")]
        if not numbers or newest.number <= numbers[-1]:
            return False
        return self.nonces().isdisjoint([newest.nonce, *self.written_under(newest)])


def accepted_of(events: Iterable[Event], nonce: str) -> frozenset[str]:
    """Names of the hazards of the plans that sealed this epoch, or that were made under it to accept some: each was accepted."""
    return frozenset(hazard.name for plan in plans_under(events, nonce) for hazard in plan.hazards)


def plans_under(events: Iterable[Event], nonce: str) -> list[Plan]:
    """The plans that sealed this epoch, or that were made under it to accept a hazard of it."""
    plans: dict[str, Plan] = {}
    found, digest = dict[str, Plan](), ""
    for event in events:
        if event.kind in {"plan", "under-way"}:
            digest = event.data.get("plan", event.data)["digest"]
        if event.kind == "plan":
            plans[digest] = Plan.from_json(event.data["plan"])
        if digest in plans and (_seals(event, nonce) or plans[digest].under == nonce):
            found[digest] = plans[digest]
    return list(found.values())


def _seals(event: Event, nonce: str) -> bool:
    if event.kind == "step-done" and event.data.get("action") == "seal":
        return bool(event.data["facts"].get("nonce") == nonce)
    return event.kind == "sealing" and event.data["nonce"] == nonce


def sets_out_to_seal(event: Event) -> bool:
    """Whether a plan's seal begins here."""
    return event.kind == "step-started" and event.data["action"] == "seal"


def written_by(world: World, plan: Plan) -> Iterator[Event]:
    """What this very plan wrote into the journal, in all its attempts; what was done between them is left out."""
    ours = False
    for event in world.log.read():
        if event.kind in {"plan", "under-way"}:
            ours = event.data.get("plan", event.data)["digest"] == plan.digest
        elif ours:
            yield event


def _not_ours(site: str, holder: str) -> Refused:
    return Refused(
        f"{site} may not write: {holder}.",
        "Another operator or command sealed a newer epoch since this plan was made.",
        "Run `resilience status`, then plan again.",
    )
