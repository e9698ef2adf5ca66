"""A site on hosts that are simply there: given addresses and host keys, no call to anybody."""

from __future__ import annotations

import pulumi

from stacks.contract import SiteArgs


class BareMetalSite(pulumi.ComponentResource):
    """Nothing is made; the stack only says, like all others, where its hosts are."""

    def __init__(self, args: SiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("resilience:site:BareMetal", args.site, None, opts)
        if not args.hosts:
            message = (
                f"{args.site} has no hosts. A bare-metal stack cannot make any: "
                "give address and hostKey of each in the stack's configuration (resilience:hosts)."
            )
            raise pulumi.RunError(message)
        self.addresses: pulumi.Input[list[str]] = [host.address for host in args.hosts]
        self.host_keys: pulumi.Input[list[str]] = [host.host_key for host in args.hosts]
        self.ssh_user = "root"
        self.ssh_port = 22
        self.register_outputs({"addresses": self.addresses, "host_keys": self.host_keys})
