"""A site at Hetzner Cloud: one server behind a firewall.

Servers' own disks are not encrypted there; docs/vendors/hetzner.md says what follows from it.
"""

from __future__ import annotations

import pulumi
import pulumi_hcloud as hcloud

from stacks import first_boot, sizes
from stacks.contract import SiteArgs, Unfit
from stacks.host_key import HostKey
from stacks.openings import openings

STAYS = ["image", "user_data", "ssh_keys", "server_type", "location"]
"""What may change in the fleet file or at the vendor without the host being made anew."""


class HetznerSite(pulumi.ComponentResource):
    """One Debian host with a pinned key."""

    def __init__(self, args: SiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args.require("region", "authorized_key", "operators")
        kind, image, login = _kind(args), _image(args), _login(args)
        super().__init__("resilience:site:Hetzner", args.site, None, opts)
        ours = pulumi.ResourceOptions(parent=self)
        key = HostKey(f"{args.site}-1", ours)
        told = pulumi.Output.all(key.private, key.public).apply(
            lambda both: first_boot.cloud_config(args.authorized_key, both[0], both[1])
        )
        server = hcloud.Server(
            args.name,
            name=args.name,
            server_type=kind,
            image=image,
            location=args.region,
            ssh_keys=[login],
            firewall_ids=[_firewall(args, ours).id.apply(int)],
            user_data=told,
            labels=args.tags,
            opts=pulumi.ResourceOptions.merge(ours, pulumi.ResourceOptions(ignore_changes=STAYS)),
        )
        self.addresses: pulumi.Input[list[str]] = pulumi.Output.all(server.ipv4_address).apply(list)
        self.host_keys: pulumi.Input[list[str]] = pulumi.Output.all(key.public).apply(list)
        self.ssh_user = "root"
        self.ssh_port = 22
        self.register_outputs({"addresses": self.addresses, "host_keys": self.host_keys})


def _firewall(args: SiteArgs, ours: pulumi.ResourceOptions) -> hcloud.Firewall:
    rules = [
        hcloud.FirewallRuleArgs(
            direction="in",
            protocol="tcp",
            port=str(opening.port),
            source_ips=list(opening.sources),
            description=opening.name,
        )
        for opening in openings(args)
    ]
    return hcloud.Firewall(args.name, name=args.name, rules=rules, labels=args.tags, opts=ours)


def _kind(args: SiteArgs) -> str:
    """The server type, if it is sold in this location."""
    found = hcloud.get_server_type(name=sizes.hetzner(args))
    if found.architecture != "x86":
        message = f"{args.site}: {found.name} is {found.architecture}; a site's copies start on amd64 only."
        raise Unfit(message)
    sold = [place.name for place in found.locations]
    if args.region not in sold:
        message = f"{args.site}: {found.name} can't be had in {args.region}; it can in: {', '.join(sold) or 'none'}."
        raise Unfit(message)
    return str(found.name)


def _image(args: SiteArgs) -> str:
    found = hcloud.get_image(name=args.image or "debian-12", with_architecture="x86", most_recent=True)
    return str(found.id)


def _login(args: SiteArgs) -> str:
    """The operator's SSH key at Hetzner: without one, it sets a password for root and sends it by mail."""
    found = hcloud.get_ssh_key(name=args.fleet)
    if found.public_key.split()[:2] != args.authorized_key.split()[:2]:
        message = f"{args.site}: the SSH key called {args.fleet} at {args.vendor} is not the one in the kit."
        raise Unfit(message)
    return str(found.name)
