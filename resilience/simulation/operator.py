"""What the operator has: a clock, a journal, keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from resilience.model import Event
from resilience.ports import Uptime
from resilience.replication import seals
from resilience.simulation.state import State, site_private


@dataclass
class SimClock:
    """A clock that only goes on when somebody waits or calls."""

    state: State
    boot: str = "simulated"
    set_by: float = 0.0
    """By how much the time of day was set since."""

    def now(self) -> float:
        """The simulation's time, as this machine was told it."""
        return self.state.now + self.set_by

    def uptime(self) -> Uptime:
        """Whatever the time of day is set to."""
        return Uptime(self.boot, self.state.ms / 1000)

    def sleep(self, seconds: float) -> None:
        """Wait, at no cost."""
        self.state.pass_time(seconds)


@dataclass
class SimLog:
    """A journal in memory; each operator has one."""

    sim: State
    events: list[Event] = field(default_factory=list)

    def append(self, event: Event) -> None:
        """Keep it."""
        self.sim.ask("log.append", None, 0.0, lambda: self.events.append(event))

    def read(self) -> list[Event]:
        """All events."""
        return self.sim.ask("log.read", None, 0.0, lambda: list(self.events))


@dataclass
class SimSigner:
    """Signatures that only this simulation makes: a keyed digest stands for Ed25519."""

    sim: State
    beneath: str = ""

    def sign(self, payload: bytes) -> str:
        """A digest."""
        return self.sim.ask("signer.sign", None, 0.0, lambda: seals.sign_beneath(_digest, self.beneath)(payload))

    def verify(self, payload: bytes, signature: str) -> bool:
        """Compare digests."""
        return seals.check_beneath(lambda said, by: _digest(said) == by, self.beneath)(payload, signature)

    def site_key(self, site: str, epoch: int) -> str:
        """The public half of a key that anybody can make."""
        number = self.sim.carried.get((site, epoch), epoch)
        return self.sim.ask("signer.site_key", None, 0.0, lambda: seals.public_hex(site_private(site, number)))

    def carry_over(self, site: str, older: int, newer: int) -> None:
        """The newer epoch has the older one's key."""
        self.sim.carried[site, newer] = self.sim.carried.get((site, older), older)

    def start_anew(self, site: str, epoch: int) -> None:
        """It has none of another."""
        self.sim.carried.pop((site, epoch), None)

    def gate_pass(self, site: str, epoch: int) -> str:
        """A made-up pass."""
        number = self.sim.carried.get((site, epoch), epoch)
        return self.sim.ask("signer.gate_pass", None, 0.0, lambda: _digest(f"pass {site}{number}".encode()))


def _digest(payload: bytes) -> str:
    return hashlib.sha256(b"operator" + payload).hexdigest()
