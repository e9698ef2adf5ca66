"""A rehearsal: the failover's own steps on a live fleet, beside it, and proof that the fleet stayed as it was.

No fault is injected and nobody is moved. What the rehearsal puts lies below `rehearsal/NAME` in the vaults, its host
has a stack of its own, and both are removed at the end. The fleet's journal tells which host is made before it is, and
that it is gone once it is: what one that was killed left is removed by the next, whatever site that is like.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from resilience.decide import plan_rehearsal, rehearsal_site
from resilience.decide.rehearsal import SUFFIX
from resilience.engine.execute import Approval, approve, execute
from resilience.engine.observe import observe, survey_after_loss
from resilience.engine.stages import Stages, Watch, declared_facts
from resilience.errors import Refused, ResilienceError
from resilience.model import Event, Fleet, Reading, Site, SiteOutputs, SiteReading, Unknown
from resilience.model.rights import REHEARSALS
from resilience.ports import Cloud, Vault, World
from resilience.replication.epoch import each
from resilience.replication.originals import KeepsHidden, TellsLock

AT_ONCE = 8
MADE, REMOVED = "rehearsal-host", "rehearsal-host-removed"


@dataclass(frozen=True)
class Rehearsal:
    """A live fleet with its World, and the copy of the fleet that is rehearsed with, in a World of its own."""

    production: World
    fleet: Fleet
    world: World
    rehearsed: Fleet
    """As rehearsal_fleet makes it."""

    def run(
        self,
        declared: frozenset[str],
        watch: Watch,
        unbroken: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Carry it out without the `declared` vendors; everything goes into `world`'s journal.

        What it made is removed within `unbroken`.
        """
        stage = Stages(self.world, watch)
        with stage("clear"):
            self._clear()
        stage.note("drill-started", **_header(self.fleet, self.rehearsed))
        stage.note("production", when="before", **self._seen(stage))
        host = _Host(self.world.clouds[self._site.name])
        try:
            self._come_back(declared, stage, watch, host)
        finally:
            with unbroken():
                host.end()
                with stage("teardown"):
                    left = self._clear()
                stage.note("production", when="after", **self._seen(stage))
                stage.note("torn-down", left=left)

    @property
    def _site(self) -> Site:
        return self.rehearsed.sites[-1]

    def _come_back(self, declared: frozenset[str], stage: Stages, watch: Watch, host: Cloud) -> None:
        survey, dead = survey_after_loss(self.world, self.rehearsed, declared)
        stage.note("fault", fault="rehearsal", vendors=sorted(dead), at=self.world.clock.now())
        plan = plan_rehearsal(self.rehearsed, survey, dead)
        accepted = frozenset(hazard.name for hazard in plan.hazards)
        approve(self.world, plan, Approval(plan.digest, accepted, by="rehearsal"))
        self.production.log.append(Event(self.production.clock.now(), MADE, {"site": self._site.name}))
        clouds = {**self.world.clouds, self._site.name: host}
        execute(replace(self.world, clouds=clouds), self.rehearsed, plan, watch)

    def _clear(self) -> list[str]:
        """Remove this and any earlier rehearsal's host and objects; what could not be removed."""
        left = []
        for name in dict.fromkeys((self._site.name, *hosts_left(self.fleet, self.production.log.read()))):
            try:
                remove_host(self.production, self.world.clouds, self.fleet, name)
            except ResilienceError as error:
                left.append(f"hosts of {name}: {error.what}")
        answers = each(self.production.vaults, lambda vault: empty(vault, self.production.clock.now()))
        left += [f"{REHEARSALS} in {name}: {a.what}" for name, a in answers.items() if isinstance(a, ResilienceError)]
        return left

    def _seen(self, stage: Stages) -> dict[str, Any]:
        """What must be the same before and after: who may write, where the names lead, how far gates are open, ship."""
        survey = observe(self.production, self.fleet)
        epochs = {name: _told(reading.epoch) for name, reading in survey.vaults.items()}
        zones = {name: [_told(reading.addresses), _told(reading.ttl_s)] for name, reading in survey.zones.items()}
        sites = {name: _site(reading, stage) for name, reading in survey.sites.items()}
        return {"epochs": epochs, "zones": zones, "sites": sites}


@dataclass
class _Host:
    """The rehearsal's cloud: once it ends no host is made any more, not by a lane of an interrupted plan that still runs either."""

    cloud: Cloud
    ended: bool = False
    making: threading.Lock = field(default_factory=threading.Lock)

    def up(self, site: Site) -> SiteOutputs:
        """Make it, unless the rehearsal ended."""
        with self.making:
            if self.ended:
                raise Refused(f"{site.name} is not made.", "Its rehearsal was interrupted.", "Rehearse again later.")
            return self.cloud.up(site)

    def end(self) -> None:
        """No host from here on; one that is being made is waited for, so that it can be removed."""
        with self.making:
            self.ended = True

    def outputs(self, site: Site) -> SiteOutputs | None:
        """What was made."""
        return self.cloud.outputs(site)

    def down(self, site: Site) -> None:
        """Destroy it."""
        self.cloud.down(site)

    def state(self, site: Site) -> bytes | None:
        """The stack's state."""
        return self.cloud.state(site)

    def adopt(self, site: Site, exported: bytes, *, over: bool = False) -> None:
        """Take over a state."""
        self.cloud.adopt(site, exported, over=over)


def hosts_left(fleet: Fleet, events: Iterable[Event]) -> dict[str, float]:
    """Hosts of rehearsals that may still be there, and since when; a name that the fleet took for a site of its own is none."""
    made: dict[str, float] = {}
    for event in events:
        if event.kind == MADE:
            made.setdefault(str(event.data["site"]), event.at)
        elif event.kind == REMOVED:
            made.pop(str(event.data["site"]), None)
    return {name: at for name, at in made.items() if name not in {site.name for site in fleet.sites}}


def remove_host(production: World, clouds: Mapping[str, Cloud], fleet: Fleet, name: str) -> None:
    """Destroy the host that a rehearsal called so, and note that it is gone; `clouds` are those of the fleet's sites."""
    site, like = rehearsal_site(fleet, name), name.removesuffix(SUFFIX)
    if site is None:
        raise Refused(
            f"{name} is not removed.",
            f"The fleet file declares no {like}, whose stack it was made by.",
            f"Declare {like} as it was, then type `resilience down {name}`.",
        )
    clouds[like].down(site)
    if name in hosts_left(fleet, production.log.read()):
        production.log.append(Event(production.clock.now(), REMOVED, {"site": name}))


def empty(vault: Vault, now: float) -> None:
    """Remove every version of what rehearsals put, also of what one only hid; what a lock holds is hidden, and goes with a later one."""
    hidden = vault.hidden(REHEARSALS) if isinstance(vault, KeepsHidden) else ()
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix=f"empty-{vault.name}") as pool:
        held = list(pool.map(lambda key: _remove(vault, key, now), sorted({*vault.list(REHEARSALS), *hidden})))
    if refused := [error for error in held if error is not None]:
        raise refused[0]


def _remove(vault: Vault, key: str, now: float) -> ResilienceError | None:
    """Why the vault keeps it, unless that is a lock."""
    try:
        vault.erase(key)
    except ResilienceError as error:
        try:
            if not isinstance(vault, TellsLock) or (vault.locked_until(key) or 0) <= now:
                return error
            if vault.exists(key):
                vault.delete(key)
        except ResilienceError:
            return error
    return None


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
