"""The program: reads the stack's configuration, makes the site, exports the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pulumi

from stacks import contract
from stacks.baremetal import BareMetalSite
from stacks.lab import LabSite

SITES: Mapping[str, Callable[[contract.SiteArgs], contract.Site]] = {
    "lab": LabSite,
    "local": LabSite,
    "baremetal": BareMetalSite,
}


def run() -> None:
    """Make the site this stack describes."""
    config = pulumi.Config("resilience")
    kind = config.require("kind")
    if kind not in SITES:
        message = f"resilience:kind is {kind!r}; there are stacks for: {', '.join(sorted(SITES))}."
        raise pulumi.RunError(message)
    args = contract.SiteArgs.from_config(config, pulumi.get_stack())
    contract.export(args, SITES[kind](args))
