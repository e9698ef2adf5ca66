"""Objects of the model's vaults: real bytes under real names, one bit each, so that a vault is a number."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import TypeVar

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.adapters.memory_vault import MemoryVault
from resilience.errors import VaultError
from resilience.model import EpochRecord
from resilience.replication import chunk, layout, seals
from resilience.replication import epoch as epochs

T = TypeVar("T")
BASE = 16 << 20
"""Where the first epoch's WAL begins; each chunk holds one byte."""
OPERATOR = Ed25519PrivateKey.generate()
CHECK = cache(seals.verifier(seals.public_hex(OPERATOR)))
RECIPIENT = str(pyrage.x25519.Identity.generate().to_public())


class Silent(MemoryVault):
    """A vault that answers nobody."""

    def put_new(self, key: str, data: bytes) -> bool:
        """Nobody is served."""
        raise silence(self.name)

    def get(self, key: str) -> bytes | None:
        """Nobody is served."""
        raise silence(self.name)

    def exists(self, key: str) -> bool:
        """Nobody is served."""
        raise silence(self.name)

    def list(self, prefix: str) -> list[str]:
        """Nobody is served."""
        raise silence(self.name)


def silence(name: str) -> VaultError:
    """What a vault's silence looks like."""
    return VaultError(f"{name} is silent", "it does not answer", "Bring it back.")


class Catalogue:
    """Which objects there are, and what the product's own code does to a vault that holds some of them."""

    def __init__(self) -> None:
        self._bits: dict[tuple[str, bytes], int] = {}
        self._objects: list[tuple[str, bytes]] = []
        self._done: dict[object, tuple[int, object]] = {}
        self._keys: dict[str, Ed25519PrivateKey] = {}
        self.epochs = self.chunks = 0
        """Which bits are epochs' records, and which are chunks."""
        self.written: dict[int, int] = {}
        """Which bits are the chunks of each epoch's number."""

    def bit(self, key: str, data: bytes) -> int:
        """The number of an object."""
        found = self._bits.setdefault((key, data), len(self._objects))
        if found == len(self._objects):
            self._objects.append((key, data))
            if key.startswith(layout.EPOCH):
                self.epochs |= 1 << found
            elif layout.chunk_start(key) is not None:
                self.chunks |= 1 << found
        return found

    def vault(self, mask: int, name: str = "vault") -> MemoryVault:
        """A vault with these objects; a silent one for a negative number."""
        if mask < 0:
            return Silent(name)
        vault = MemoryVault(name)
        vault.objects = {self._objects[n][0]: self._objects[n][1] for n in range(mask.bit_length()) if mask >> n & 1}
        return vault

    def do(self, mask: int, what: object, act: Callable[[MemoryVault], T]) -> tuple[int, T]:
        """Let the product's code act on a vault: what it holds then, and the answer. Remembered by `what`."""
        if (mask, what) not in self._done:
            vault = self.vault(mask)
            answer = act(vault)
            after = sum(1 << self.bit(key, data) for key, data in vault.objects.items())
            self._done[mask, what] = after, answer
        return self._done[mask, what]  # type: ignore[return-value]

    def put(self, mask: int, number: int) -> tuple[int, bool]:
        """Put one object, if its name is free."""
        return self.do(mask, number, lambda vault: vault.put_new(*self._objects[number]))

    def record(self, bare: EpochRecord) -> EpochRecord:
        """The record with its site's key, signed by the operator."""
        key = self._keys.setdefault(bare.site, Ed25519PrivateKey.generate())
        named = replace(bare, signer=seals.public_hex(key))
        return replace(named, signature=seals.signer(OPERATOR)(epochs.payload(named)))

    def sign(self, record: EpochRecord) -> seals.Sign:
        """The signature of the record's site."""
        return seals.signer(self._keys[record.site])

    @cache  # noqa: B019 - one catalogue lives as long as its model
    def start(self, record: EpochRecord, position: int, timeline: int) -> int:
        """A start record."""
        start = chunk.Start(record.number, record.nonce, position, timeline, "1", "", 0.0)
        return self.bit(layout.first(record.number), chunk.encode_start(start, self.sign(record)))

    @cache  # noqa: B019 - likewise
    def opening(self, record: EpochRecord, parent: int, end: int) -> chunk.Opening:
        """What a promoter records."""
        return chunk.Opening(record.number, record.nonce, parent, end, end, 1, "1", 0.0)

    @cache  # noqa: B019 - likewise
    def opening_object(self, opening: chunk.Opening, record: EpochRecord) -> int:
        """It, as an object."""
        return self.bit(layout.opening(record.number), chunk.encode_opening(opening, self.sign(record)))

    @cache  # noqa: B019 - likewise
    def chunk(self, record: EpochRecord, start: int, confirmed: int) -> int:
        """A chunk of one byte."""
        body = chunk.seal_body(b"x", [RECIPIENT])
        sha = hashlib.sha256(body).hexdigest()
        header = chunk.Header(
            record.number, record.nonce, record.site, 1, "1", start, start + 1, confirmed, float(start), sha
        )
        found = self.bit(layout.chunk(record.number, start), chunk.encode(header, body, self.sign(record)))
        self.written[record.number] = self.written.get(record.number, 0) | 1 << found
        return found
