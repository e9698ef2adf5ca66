"""What the operator has: a clock, a journal, keys."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.model import Event
from resilience.replication.seals import public_hex
from resilience.simulation.state import State


@dataclass
class SimClock:
    """A clock that only goes on when somebody waits or calls."""

    state: State

    def now(self) -> float:
        """The simulation's time."""
        return self.state.now

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

    def sign(self, payload: bytes) -> str:
        """A digest."""
        return self.sim.ask("signer.sign", None, 0.0, lambda: _digest(payload))

    def verify(self, payload: bytes, signature: str) -> bool:
        """Compare digests."""
        return _digest(payload) == signature

    def site_key(self, site: str, epoch: int) -> str:
        """The public half of a key that anybody can make."""
        return self.sim.ask("signer.site_key", None, 0.0, lambda: public_hex(site_private(site, epoch)))

    def gate_pass(self, site: str, epoch: int) -> str:
        """A made-up pass."""
        return self.sim.ask("signer.gate_pass", None, 0.0, lambda: _digest(f"pass {site}{epoch}".encode()))


def site_private(site: str, epoch: int) -> Ed25519PrivateKey:
    """What a site's host signs with in one epoch."""
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"{site}{epoch}".encode()).digest())


def _digest(payload: bytes) -> str:
    return hashlib.sha256(b"operator" + payload).hexdigest()
