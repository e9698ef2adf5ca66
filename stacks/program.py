"""The program: reads the stack's configuration, makes the site, exports the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

import pulumi

from stacks import contract

SITES: Mapping[str, str] = {
    "lab": "lab.LabSite",
    "local": "lab.LabSite",
    "baremetal": "baremetal.BareMetalSite",
    "aws": "aws.AwsSite",
    "gcp": "gcp.GcpSite",
    "hetzner": "hetzner.HetznerSite",
    "openstack": "openstack.OpenStackSite",
}
"""Kind → where its component is; read only when it is made, since nobody has every vendor's package."""


def component(kind: str) -> Callable[[contract.SiteArgs], contract.Site]:
    """The component that makes this kind of site; Unfit for no kind, or a vendor's package that is not there."""
    if kind not in SITES:
        message = f"resilience:kind is {kind!r}; there are stacks for: {', '.join(sorted(SITES))}."
        raise contract.Unfit(message)
    module, _, name = SITES[kind].partition(".")
    try:
        made: Callable[[contract.SiteArgs], contract.Site] = getattr(import_module(f"stacks.{module}"), name)
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("pulumi_"):
            raise
        message = f"{error.name} is not installed, and {kind} needs it: run `scripts/bootstrap --stack {kind}`."
        raise contract.Unfit(message) from error
    return made


def run() -> None:
    """Make the site this stack describes."""
    config = pulumi.Config("resilience")
    make = component(config.require("kind"))
    args = contract.SiteArgs.from_config(config, pulumi.get_stack())
    contract.export(args, make(args))
