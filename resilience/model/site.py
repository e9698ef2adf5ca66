"""SiteOutputs: what every stack exports, AWS to bare metal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SiteOutputs:
    """A site as its stack made it; the same shape for every vendor."""

    site: str
    vendor: str
    addresses: tuple[str, ...]
    """Addresses of the hosts, first the one that serves."""
    host_keys: tuple[str, ...]
    """SSH host public keys (`ssh-ed25519 AAAA…`), one a host: pinned, never trusted on first use."""
    ssh_user: str = "root"
    ssh_port: int = 22

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SiteOutputs:
        """From what a stack exported."""
        return cls(
            site=str(data["site"]),
            vendor=str(data["vendor"]),
            addresses=tuple(data["addresses"]),
            host_keys=tuple(data["host_keys"]),
            ssh_user=str(data.get("ssh_user", "root")),
            ssh_port=int(data.get("ssh_port", 22)),
        )
