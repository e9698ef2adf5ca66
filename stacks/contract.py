"""What goes into a stack and what comes out: SiteArgs in, the fields of SiteOutputs out."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import pulumi

from resilience.model import SIZES, Machine, SiteOutputs


class Unfit(pulumi.RunError):
    """What was asked for can't be had as it is; raised before anything is made."""


@dataclass(frozen=True, slots=True)
class GivenHost:
    """A host that is simply there."""

    address: str
    host_key: str


@dataclass(frozen=True, slots=True)
class SiteArgs:
    """What a stack needs to know; credentials are not among it, they come from the environment."""

    site: str
    vendor: str
    authorized_key: str = ""
    """Public SSH key that may log in as root."""
    account: str = ""
    """URL of the vendor's account API."""
    size: str = "small"
    machine: Machine = SIZES["small"]
    """What a host has at least; `type`, the vendor's own word, goes before it."""
    type: str = ""
    fleet: str = ""
    region: str = ""
    zone: str = ""
    image: str = ""
    """The vendor's own word or id; without one, the newest Debian 12."""
    disk: str = ""
    """The vendor's own word for a kind of encrypted volume, where a host's own disk is not encrypted."""
    network: str = ""
    """The site's own network, where the vendor has such a thing."""
    operators: tuple[str, ...] = ()
    """Networks that may come in by SSH."""
    hosts: tuple[GivenHost, ...] = ()
    buckets: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, config: pulumi.Config, stack: str) -> SiteArgs:
        """From the stack's configuration; the stack's name is the site's."""
        hosts = config.get_object("hosts") or []
        return cls(
            site=stack,
            vendor=config.require("vendor"),
            authorized_key=config.get("authorizedKey") or "",
            account=config.get("account") or "",
            size=config.get("size") or "small",
            machine=_machine(config),
            type=config.get("type") or "",
            fleet=config.get("fleet") or "",
            region=config.get("region") or "",
            zone=config.get("zone") or "",
            image=config.get("image") or "",
            disk=config.get("disk") or "",
            network=config.get("network") or "",
            operators=tuple(config.get_object("operators") or ()),
            hosts=tuple(GivenHost(str(h["address"]), str(h["hostKey"])) for h in hosts),
            buckets=tuple(config.get_object("buckets") or ()),
        )

    @property
    def name(self) -> str:
        """What the vendor is told to call what belongs to this site: short enough for all of them."""
        return f"{self.fleet[:20]}-{self.site}"

    @property
    def tags(self) -> dict[str, str]:
        """What everything of this site is marked with, where the vendor has marks."""
        return {"fleet": self.fleet, "site": self.site, "made-by": "resilience"}

    def require(self, *names: str) -> None:
        """Refuse to begin without these."""
        for name in names:
            if not getattr(self, name):
                message = f"{self.site}: {name} is not given (resilience:{name}), and this stack needs it."
                raise Unfit(message)


def _machine(config: pulumi.Config) -> Machine:
    given, size = config.get_object("machine"), config.get("size") or "small"
    if given:
        return Machine(int(given["cpu"]), int(given["memoryGb"]), int(given["diskGb"]))
    if size not in SIZES:
        message = f"resilience:size is {size!r}; sizes are: {', '.join(SIZES)}."
        raise Unfit(message)
    return SIZES[size]


class Site(Protocol):
    """What every vendor's component offers: the facts of SiteOutputs, some of them not known yet."""

    addresses: pulumi.Input[list[str]]
    host_keys: pulumi.Input[list[str]]
    ssh_user: str
    ssh_port: int


def export(args: SiteArgs, made: Site) -> None:
    """Export exactly the fields of SiteOutputs, on every vendor alike."""
    values: dict[str, Any] = {
        "site": args.site,
        "vendor": args.vendor,
        "addresses": made.addresses,
        "host_keys": made.host_keys,
        "ssh_user": made.ssh_user,
        "ssh_port": made.ssh_port,
    }
    for field in fields(SiteOutputs):
        pulumi.export(field.name, values.pop(field.name))
