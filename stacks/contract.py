"""What goes into a stack and what comes out: SiteArgs in, the fields of SiteOutputs out."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import pulumi

from resilience.model import SiteOutputs


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
            hosts=tuple(GivenHost(str(h["address"]), str(h["hostKey"])) for h in hosts),
            buckets=tuple(config.get_object("buckets") or ()),
        )


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
