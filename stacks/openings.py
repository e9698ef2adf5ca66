"""What may reach a host: web for everybody, SSH for the operators, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from stacks.contract import SiteArgs

WORLD = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True)
class Rule:
    """One source of one opening, where a vendor has a rule for each."""

    name: str
    """It tells the source: one that is taken out of the middle leaves the others' rules as they are."""
    former: str
    """Its place among the opening's sources, which was its name."""
    family: str
    source: str


@dataclass(frozen=True, slots=True)
class Opening:
    """One TCP port, and the networks it is open to."""

    name: str
    port: int
    sources: tuple[str, ...]

    def pairs(self) -> Sequence[tuple[str, str]]:
        """Each source with the family it belongs to, `IPv4` or `IPv6`."""
        return [("IPv6" if ":" in source else "IPv4", source) for source in self.sources]

    def rules(self, site: str) -> Sequence[Rule]:
        """A rule for each source; no colon is in a name, since the engine parts names of its own by them."""
        return [
            Rule(
                f"{site}-{self.name}-{str(ip_network(source, strict=False)).replace(':', '-')}",
                f"{site}-{self.name}-{number}",
                family,
                source,
            )
            for number, (family, source) in enumerate(self.pairs())
        ]


def openings(args: SiteArgs) -> tuple[Opening, ...]:
    """Every vendor's firewall is made of these."""
    return (
        Opening("ssh", 22, args.operators),
        Opening("http", 80, WORLD),
        Opening("https", 443, WORLD),
    )
