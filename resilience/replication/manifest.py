"""Manifests: which files hosts are set up from, by their names and sha256, signed by the operator."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from resilience.replication import seals

PREFIX = "supplies/signed-"
FORMAT = "resilience-supplies/1"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the supplies."""

    name: str
    sha256: str
    bytes: int

    @property
    def key(self) -> str:
        """Where a vault keeps it."""
        return f"supplies/{self.sha256}/{self.name}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Files that belong together."""

    parts: tuple[Part, ...]
    made: float = 0.0

    @property
    def digest(self) -> str:
        """Names exactly these files."""
        listed = sorted((part.name, part.sha256) for part in self.parts)
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()

    @property
    def key(self) -> str:
        """Where a vault keeps this manifest."""
        return f"{PREFIX}{self.digest}.json"

    def to_bytes(self, sign: seals.Sign) -> bytes:
        """As the object in a vault."""
        value = {"format": FORMAT, "made": self.made, "parts": [asdict(part) for part in self.parts]}
        return json.dumps(seals.sign_json(value, sign), indent=1, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes, verify: seals.Verify) -> Manifest | None:
        """From the object in a vault; None where the operator did not sign exactly this."""
        loaded = seals.verified_json(data, verify)
        if loaded is None or loaded.get("format") != FORMAT:
            return None
        return cls(tuple(Part(**part) for part in loaded["parts"]), float(loaded["made"]))
