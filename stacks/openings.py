"""What may reach a host: web for everybody, SSH for the operators, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stacks.contract import SiteArgs

WORLD = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True)
class Opening:
    """One TCP port, and the networks it is open to."""

    name: str
    port: int
    sources: tuple[str, ...]

    def pairs(self) -> Sequence[tuple[str, str]]:
        """Each source with the family it belongs to, `IPv4` or `IPv6`."""
        return [("IPv6" if ":" in source else "IPv4", source) for source in self.sources]


def openings(args: SiteArgs) -> tuple[Opening, ...]:
    """Every vendor's firewall is made of these."""
    return (
        Opening("ssh", 22, args.operators),
        Opening("http", 80, WORLD),
        Opening("https", 443, WORLD),
    )
