"""What the operator put into every vault is given to one that lost it."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.adapters.memory_vault import MemoryVault
from resilience.engine.put_back import put_back
from resilience.errors import ResilienceError
from resilience.model import EpochRecord
from resilience.replication import epoch, layout, seals

KEY = Ed25519PrivateKey.generate()


def check(payload: bytes, signature: str) -> bool:
    """Whether the operator signed."""
    return seals.verify(seals.public_hex(KEY), payload, signature)


def record(number: int, nonce: str) -> EpochRecord:
    """An epoch of three vaults."""
    return epoch.make_record(
        number=number,
        site="acorn",
        nonce=nonce,
        parent=number - 1,
        vaults=("birch", "cedar", "elm"),
        k=2,
        s=2,
        sealed_at=0.0,
        signer="",
        sign=seals.signer(KEY),
    )


class Noting(MemoryVault):
    """Notes in which order it was given things."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.given: list[str] = []

    def put_new(self, key: str, data: bytes) -> bool:
        """Create."""
        self.given.append(key)
        return super().put_new(key, data)


class Silent(MemoryVault):
    """Gives no listing."""

    def list(self, prefix: str) -> list[str]:
        """Nothing is answered."""
        raise ResilienceError("It does not answer.", "timed out", "Wait.")


def test_a_vault_is_given_what_was_in_every_one() -> None:
    """Epochs first, in their order, of two the one that more vaults hold; not what is said of another vault, nor what others put."""
    birch, cedar, elm = MemoryVault("birch"), MemoryVault("cedar"), Noting("elm")
    others = ["state/acorn/0000000000001.json", "supplies/aa/tool", "tls/1.json", "verified/birch/1.json"]
    for vault in (birch, cedar):
        for number in (1, 2):
            vault.put_new(layout.epoch(number), epoch.encode(record(number, "n")))
        for key in (layout.sealed(2), layout.filled(2), *others, layout.first(2), "label/x", "media/y", "restic/z"):
            vault.put_new(key, key.encode())
    fir = MemoryVault("fir")
    fir.put_new(layout.epoch(2), epoch.encode(record(2, "of a promotion that lost")))
    vaults = {"birch": birch, "cedar": cedar, "elm": elm, "fir": fir, "oak": Silent("oak")}
    assert put_back(vaults, "elm", check) == 7
    assert elm.given == [layout.epoch(1), layout.epoch(2), layout.sealed(2), *others]
    assert elm.objects[layout.epoch(2)] == birch.objects[layout.epoch(2)]
    assert put_back(vaults, "elm", check) == 0
    with pytest.raises(ResilienceError, match="does not answer"):
        put_back(vaults, "oak", check)
