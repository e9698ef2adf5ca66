"""Port Signer: Ed25519 keys from the kit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.adapters.kit import Kit
from resilience.errors import MissingPart, ResilienceError
from resilience.model import EpochRecord
from resilience.replication import seals


@dataclass(frozen=True)
class KitSigner:
    """The operator's signature, and the public keys of sites; private halves stay in the kit."""

    kit: Kit
    beneath: str = ""
    """In a rehearsal the prefix of all that it puts: what is signed for it is nothing elsewhere."""

    @property
    def public(self) -> str:
        """The operator's public key, hex: what hosts check epochs with."""
        return _public(self._operator)

    @property
    def ledger_public(self) -> str:
        """Public half (hex) of the key with which the app signs its ledger."""
        return _public(_load(self.kit.ledger_key.read_bytes(), "ledger.key"))

    def sign(self, payload: bytes) -> str:
        """Ed25519 signature by the operator, hex."""
        return seals.sign_beneath(seals.signer(self._operator), self.beneath)(payload)

    def verify(self, payload: bytes, signature: str) -> bool:
        """Whether the operator signed this payload, for the fleet or for this rehearsal."""
        return seals.check_beneath(seals.verifier(self.public), self.beneath)(payload, signature)

    def site_key(self, site: str, epoch: int) -> str:
        """Public key (hex) with which the site's host signs in this epoch; made when absent."""
        path = self.kit.site_key(site, epoch)
        return _public(_load(path.read_bytes(), path.name))

    def carry_over(self, site: str, older: int, newer: int) -> None:
        """Copies of the key and the pass under the newer number."""
        self.kit.carry_over(site, older, newer)

    def start_anew(self, site: str, epoch: int) -> None:
        """The key and the pass that every copy of the kit makes alike."""
        self.kit.start_anew(site, epoch)

    def hold(self, epoch: EpochRecord) -> None:
        """Have the key that this epoch names, also where another machine sealed it; an error where it was not made from this kit.

        Where the vault set changed, the key of an earlier number was carried over. What was left here under its number, by a
        command that stopped before it sealed anything, is not what it names.
        """
        for number in range(epoch.number, 0, -1):
            if _public(_load(self.kit.site_secret(epoch.site, number), "")) == epoch.signer:
                return None if number == epoch.number else self.kit.carry_over(epoch.site, number, epoch.number)
        if _public(_load(self.kit.own_secret(epoch.site, epoch.number), "")) == epoch.signer:
            return self.kit.start_anew(epoch.site, epoch.number)
        raise ResilienceError(
            f"This kit does not hold the key by which {epoch.site} signs in epoch {epoch.number}.",
            "It was made on another machine, by a kit of its own; with another key the site's ship would not start.",
            f"Bring sites/{epoch.site}-{epoch.number:08d}.key from there, or move: a failover or switchover makes new ones.",
        )

    def gate_pass(self, site: str, epoch: int) -> str:
        """What lets the operator's own requests through that site's gate in this epoch."""
        return self.kit.gate_pass(site, epoch)

    @cached_property
    def _operator(self) -> Ed25519PrivateKey:
        return _load(self.kit.operator_key.read_bytes(), "operator.key")


def _load(pem: bytes, name: str) -> Ed25519PrivateKey:
    """A private key from PEM."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except ValueError as error:
        raise _unusable(name, str(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(name, f"it is a {type(key).__name__}")
    return key


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def _unusable(name: str, why: str) -> MissingPart:
    return MissingPart(
        f"The kit's {name} is no Ed25519 private key in PEM",
        why,
        "Bring the fleet's own kit back; a new key could seal nothing that hosts would believe.",
    )
