"""A rehearsal: the failover's own steps on a live fleet, beside it, and proof that the fleet stayed as it was.

No fault is injected and nobody is moved. What the rehearsal puts lies below `rehearsal/NAME` in the vaults, its host
has a stack of its own, and both are removed at the end; what one that was killed left is removed by the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from resilience.decide import plan_rehearsal
from resilience.decide.rehearsal import SUFFIX
from resilience.engine.execute import Approval, approve, execute
from resilience.engine.observe import observe, survey_after_loss
from resilience.engine.stages import Stages, Watch, declared_facts
from resilience.errors import ResilienceError
from resilience.model import Fleet, Reading, SiteReading, Unknown
from resilience.model.rights import REHEARSALS
from resilience.ports import Vault, World
from resilience.replication.epoch import each


@dataclass(frozen=True)
class Rehearsal:
    """A live fleet with its World, and the copy of the fleet that is rehearsed with, in a World of its own."""

    production: World
    fleet: Fleet
    world: World
    rehearsed: Fleet
    """As rehearsal_fleet makes it."""

    def run(self, declared: frozenset[str], watch: Watch) -> None:
        """Carry it out without the `declared` vendors; everything goes into `world`'s journal."""
        stage = Stages(self.world, watch)
        with stage("clear"):
            self._clear()
        stage.note("drill-started", **_header(self.fleet, self.rehearsed))
        stage.note("production", when="before", **self._seen(stage))
        try:
            self._come_back(declared, stage, watch)
        finally:
            with stage("teardown"):
                left = self._clear()
            stage.note("production", when="after", **self._seen(stage))
            stage.note("torn-down", left=left)

    def _come_back(self, declared: frozenset[str], stage: Stages, watch: Watch) -> None:
        survey, dead = survey_after_loss(self.world, self.rehearsed, declared)
        stage.note("fault", fault="rehearsal", vendors=sorted(dead), at=self.world.clock.now())
        plan = plan_rehearsal(self.rehearsed, survey, dead)
        accepted = frozenset(hazard.name for hazard in plan.hazards)
        approve(self.world, plan, Approval(plan.digest, accepted, by="rehearsal"))
        execute(self.world, self.rehearsed, plan, watch)

    def _clear(self) -> list[str]:
        """Remove this and any earlier rehearsal's host and objects; what could not be removed."""
        site, left = self.rehearsed.sites[-1], []
        try:
            self.world.clouds[site.name].down(site)
        except ResilienceError as error:
            left.append(f"hosts of {site.name}: {error.what}")
        answers = each(self.production.vaults, _empty)
        left += [f"{REHEARSALS} in {name}: {a.what}" for name, a in answers.items() if isinstance(a, ResilienceError)]
        return left

    def _seen(self, stage: Stages) -> dict[str, Any]:
        """What must be the same before and after: who may write, where the names lead, how far gates are open, ship."""
        survey = observe(self.production, self.fleet)
        epochs = {name: _told(reading.epoch) for name, reading in survey.vaults.items()}
        zones = {name: [_told(reading.addresses), _told(reading.ttl_s)] for name, reading in survey.zones.items()}
        sites = {name: _site(reading, stage) for name, reading in survey.sites.items()}
        return {"epochs": epochs, "zones": zones, "sites": sites}


def _empty(vault: Vault) -> None:
    for key in vault.list(REHEARSALS):
        vault.delete(key)


def _site(reading: SiteReading, stage: Stages) -> dict[str, Any]:
    """One site; of ship only what does not change while users write."""
    ship = reading.ship
    if isinstance(ship, Unknown):
        shipping: Any = _told(ship)
    else:
        shipping = {key: ship.get(key) for key in ("role", "epoch", "nonce", "gap", "superseded_by", "postgres_error")}
        shipping["vaults"] = sorted(name for name, vault in ship.get("vaults", {}).items() if vault.get("counts"))
        if ship.get("db_bytes") is not None:
            stage.note("data", **{key: ship.get(key) for key in ("db_bytes", "media_bytes", "lag_seconds")})
    outputs = _told(reading.outputs)
    return {"outputs": outputs, "serving": _told(reading.serving), "stage": _told(reading.stage), "ship": shipping}


def _told(reading: Reading[Any]) -> Any:
    """As the journal keeps it; what is unknown says so, and is never equal to anything."""
    if isinstance(reading, Unknown):
        return {"unknown": reading.why}
    if hasattr(reading, "__dataclass_fields__"):
        return asdict(reading)
    return list(reading) if isinstance(reading, tuple) else reading


def _header(fleet: Fleet, rehearsed: Fleet) -> Mapping[str, Any]:
    return {
        "fault": "rehearsal",
        "rehearsal": rehearsed.rehearsal,
        "size": "live",
        "standby": "cold",
        "durability": fleet.replication.durability,
        "seed": 0,
        "simulated": False,
        "target": rehearsed.sites[-1].name.removesuffix(SUFFIX),
        **declared_facts(fleet),
        "sites": {s.name: s.vendor for s in rehearsed.sites},
    }
