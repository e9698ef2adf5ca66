"""The app on its host, and the users who reach it by its public name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from resilience.adapters.plaza_posts import post_id
from resilience.errors import ResilienceError
from resilience.model import Certificate, Fleet, Notice, SiteOutputs, Stage
from resilience.ports import Journey, SealedCertificate, TakenDown
from resilience.simulation.plane import answering
from resilience.simulation.shipping import record_takedown, would_acknowledge
from resilience.simulation.state import Host, State

T = TypeVar("T")
WALK = (("log in", 60.0), ("post", 12.0), ("read back", 5.0), ("see a picture", 5.0))


@dataclass
class SimApp:
    """The app on its host."""

    sim: State
    host: str

    @property
    def ready_path(self) -> str:
        """Nobody asks for it in memory."""
        return "/ready"

    @property
    def sign_up_paths(self) -> tuple[str, ...]:
        """Nobody signs up in memory."""
        return ("/join",)

    def _on(self, outputs: SiteOutputs, verb: str, seconds: float, act: Callable[[Host], T]) -> T:
        door = f"app.{outputs.site}.{verb}"
        return self.sim.ask(door, outputs.vendor, seconds, lambda: act(answering(self.sim, outputs)))

    def replay_ledger(self, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Apply all entries."""

        def replay(host: Host) -> Mapping[str, Any]:
            before = len(host.hidden)
            host.hidden |= set(host.ledger.values())
            entries = len(host.ledger)
            return {"entries": entries, "applied": len(host.hidden) - before, "head": "", "position": entries}

        return self._on(outputs, "replay_ledger", 0.5, replay)

    def take_notice(self, outputs: SiteOutputs, notice: Notice, letter: str) -> Mapping[str, Any]:
        """Remember it on the host."""

        def take(_host: Host) -> Mapping[str, Any]:
            self.sim.notices[notice.vendor, notice.reference] = notice.posts
            return {"named": len(notice.posts), "unknown": 0, "open": len(notice.posts)}

        return self._on(outputs, "take_notice", 0.5, take)

    def evidence(self, outputs: SiteOutputs, notice: Notice) -> bytes:
        """The addresses that were named."""

        def tell(_host: Host) -> bytes:
            posts = self.sim.notices.get((notice.vendor, notice.reference))
            if posts is None:
                raise ResilienceError(
                    f"{outputs.site} knows no notice {notice.reference} of {notice.vendor}.",
                    "It was never put before the moderators there.",
                    "Add the letter again: `resilience notice add FILE`.",
                )
            return "\n".join(posts).encode()

        return self._on(outputs, "evidence", 0.5, tell)

    def fill(self, outputs: SiteOutputs, size: str, seed: int) -> Mapping[str, Any]:
        """Nothing is too much in memory: the users' own seed is all there is."""
        return self._on(outputs, "fill", 1.0, lambda _host: {})

    def warm(self, outputs: SiteOutputs) -> None:
        """Nothing has to be loaded here."""
        self._on(outputs, "warm", 1.0, lambda _host: None)

    def begin(self, outputs: SiteOutputs) -> None:
        """It takes no time to start here."""
        self._on(outputs, "begin", 0.1, lambda _host: None)

    def start(self, outputs: SiteOutputs) -> None:
        """Serve; only what was opened has a database."""

        def serve(host: Host) -> None:
            if not host.promoted_under:
                raise ResilienceError("There is no database.", "None was promoted.", "Recover first.")
            host.serving = True

        self._on(outputs, "start", 2.0, serve)

    def facts(self, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Count rows, look for their pictures, look whether what was taken down is shown."""

        def count(host: Host) -> Mapping[str, Any]:
            missing = sorted(set(host.rows) - host.hidden - host.pictures)
            shown = sorted(set(host.ledger.values()) & set(host.rows) - host.hidden)
            return {
                "users": 10,
                "posts": len(set(host.rows) - host.hidden),
                "media": {"objects": len(host.rows), "missing": missing, "corrupt": []},
                "ledger": {"entries": len(host.ledger)},
                "takedowns": {"issued": len(host.ledger), "resurrected": shown},
            }

        return self._on(outputs, "facts", 0.5, count)

    def serving(self, outputs: SiteOutputs) -> bool:
        """Whether it serves."""
        return self._on(outputs, "serving", 0.05, lambda host: host.serving)

    def appoint(self, outputs: SiteOutputs, account: str) -> None:
        """Anybody may moderate in memory."""

        def appoint(host: Host) -> None:
            self.sim.moderators += 1

        self._on(outputs, "appoint", 0.1, appoint)

    def post_id(self, named: str) -> str | None:
        """As plaza's: the row `post7` has the id 7."""
        return post_id(named, self.host)

    def take_down(self, outputs: SiteOutputs, posts: Sequence[str], reason: str) -> TakenDown:
        """An entry each, for those that can be seen."""

        def take(host: Host) -> TakenDown:
            rows = [f"post{found}" for named in posts if (found := self.post_id(named)) is not None]
            shown = [row for row in rows if row in host.rows and row not in host.hidden]
            for row in shown:
                record_takedown(self.sim, host, row)
            return TakenDown(len(shown), tuple(named for named in posts if self.post_id(named) is None))

        return self._on(outputs, "take_down", 0.5, take)

    def still_named(self, outputs: SiteOutputs, pictures: Sequence[str]) -> frozenset[str]:
        """A row and its picture have one name here."""

        def look(host: Host) -> frozenset[str]:
            return frozenset(pictures) & set(host.rows) - host.hidden

        return self._on(outputs, "still_named", 0.2, look)

    def ship_again(self, outputs: SiteOutputs, pictures: Sequence[str]) -> int:
        """On their way into every vault of the set from now on, as far as it takes pictures."""

        def ship(host: Host) -> int:
            here = host.pictures & set(pictures)
            for name in host.ships.vaults if host.ships else ():
                host.again.setdefault(name, set()).update(here)
            return len(here)

        return self._on(outputs, "ship_again", 0.2, ship)

    def queue(self, outputs: SiteOutputs) -> Mapping[str, Any]:
        """Whoever moderates gets there as long as the app serves."""
        return self._on(
            outputs,
            "queue",
            0.3,
            lambda host: {"moderators": self.sim.moderators, "open": 0, "reached": host.serving},
        )


@dataclass
class SimGate:
    """The proxy of each host."""

    sim: State
    host: str = "plaza.test"

    def _on(self, outputs: SiteOutputs, verb: str, act: Callable[[Host], Stage]) -> Stage:
        door = f"gate.{outputs.site}.{verb}"
        return self.sim.ask(door, outputs.vendor, 0.05, lambda: act(answering(self.sim, outputs)))

    def root(self, outputs: SiteOutputs) -> str:
        """Nothing here is encrypted."""
        return f"root of {outputs.site}"

    def certificate(self, outputs: SiteOutputs, wait_s: float = 0.0) -> SealedCertificate:
        """Whoever asks the simulated authority gets one for ninety days, always the same."""
        self.stage(outputs)
        return SealedCertificate(Certificate(self.host, "CN=Simulated", 4e9, "00"), b"sealed")

    def begin(self, outputs: SiteOutputs, under: Sequence[str]) -> Stage:
        """Close, unless it was opened under one of these epochs."""

        def begin(host: Host) -> Stage:
            if host.opened_under not in under:
                host.stage = Stage.CLOSED
            host.opened_under = under[0]
            return host.stage

        return self._on(outputs, "begin", begin)

    def go_on(self, outputs: SiteOutputs, under: Sequence[str]) -> Stage:
        """Note the newest, where it was opened under one of them."""

        def go_on(host: Host) -> Stage:
            if host.opened_under in under:
                host.opened_under = under[0]
            return host.stage

        return self._on(outputs, "go_on", go_on)

    def set(self, outputs: SiteOutputs, stage: Stage) -> Stage:
        """Open or close up to this stage; the one it was at."""

        def change(host: Host) -> Stage:
            before, host.stage = host.stage, stage
            return before

        return self._on(outputs, "set", change)

    def stage(self, outputs: SiteOutputs) -> Stage:
        """The stage it is at."""
        return self._on(outputs, "stage", lambda host: host.stage)


@dataclass
class SimOutside:
    """Users: their resolver asks the zones that live, and keeps the answer for the TTL."""

    sim: State
    fleet: Fleet

    def journey(self, address: str | None = None, gate_pass: str | None = None, root: str = "") -> Journey:
        """Get through, or not; a place that does not answer costs five seconds."""

        def walk() -> Journey:
            host = self.reached() if address is None else self.sim.host_at(address)
            opened = host is not None and (gate_pass is not None or host.stage.covers(Stage.WRITES))
            if host is None or not opened or not would_acknowledge(self.sim, host):
                self.sim.pass_time(5.0)
                raise ResilienceError(
                    f"Nobody answers {'by name' if address is None else f'at {address}'}.",
                    "It leads to no site that takes a post.",
                    "Look at `resilience status`.",
                )
            if address is not None:
                host.walked_under = host.promoted_under
            return Journey(address or self.sim.cached[1][0], WALK)

        return self.sim.ask("outside.journey", None, 0.2, walk)

    def glance(self) -> Journey:
        """Read, where the gate lets anybody read."""

        def look() -> Journey:
            host = self.reached()
            if host is None or not host.serving or not host.stage.covers(Stage.READ_ONLY):
                raise ResilienceError("Nobody answers by name.", "No site there lets read.", "Look at the gate.")
            return Journey(self.sim.cached[1][0], (("read", 5.0),))

        return self.sim.ask("outside.glance", None, 0.2, look)

    def nameservers(self, host: str) -> tuple[str, ...]:
        """As the registrar was last told."""
        return self.sim.ask("outside.nameservers", None, 0.1, lambda: self.sim.delegated)

    def missing(self, writes: Iterable[str]) -> tuple[list[str], list[str]]:
        """Writes that the site by name does not have, or does not show."""

        def look() -> tuple[list[str], list[str]]:
            host = self.reached()
            if host is None:
                return [], list(writes)
            return [w for w in writes if w not in host.rows or w in host.hidden], []

        return self.sim.ask("outside.missing", None, 0.5, look)

    def reached(self) -> Host | None:
        """The host that the name leads to for these users, now."""
        until, addresses = self.sim.cached
        if self.sim.ms >= until:
            asked = [z for z in self.fleet.names.zones if not z.spare or set(z.nameservers) & set(self.sim.delegated)]
            living = [z.vendor for z in asked if z.vendor not in self.sim.dead]
            addresses = next((self.sim.zones[v] for v in living if self.sim.zones.get(v)), ())
            if addresses:
                self.sim.cached = (self.sim.ms + 1000 * self.fleet.names.ttl_s, addresses)
        return self.sim.host_at(addresses[0]) if addresses else None
