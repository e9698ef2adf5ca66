"""The program: reads the stack's configuration, makes the site, exports the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import pulumi

from stacks import contract, vault_contract

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


VAULTS: Mapping[str, str] = {
    "aws-vault": "aws_vault.AwsVault",
    "gcp-vault": "gcp_vault.GcpVault",
    "s3-vault": "s3_vault.S3Vault",
}
"""Likewise, for vaults: stacks of their own, since copies outlive the sites they were made for."""


def component(kind: str) -> Callable[[Any], Any]:
    """The component that makes this kind of site or vault; Unfit for no kind, or a vendor's package not there."""
    known = {**SITES, **VAULTS}
    if kind not in known:
        message = f"resilience:kind is {kind!r}; there are stacks for: {', '.join(sorted(known))}."
        raise contract.Unfit(message)
    module, _, name = known[kind].partition(".")
    try:
        made: Callable[[Any], Any] = getattr(import_module(f"stacks.{module}"), name)
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("pulumi_"):
            raise
        stack = kind.removesuffix("-vault").replace("s3", "aws")
        message = f"{error.name} is not installed, and {kind} needs it: run `scripts/bootstrap --stack {stack}`."
        raise contract.Unfit(message) from error
    return made


def run() -> None:
    """Make the site or the vault this stack describes."""
    config, stack = pulumi.Config("resilience"), pulumi.get_stack()
    kind = config.require("kind")
    make = component(kind)
    if kind in VAULTS:
        vault = vault_contract.VaultArgs.from_config(config, stack)
        vault_contract.export(vault, make(vault))
    else:
        site = contract.SiteArgs.from_config(config, stack)
        contract.export(site, make(site))
