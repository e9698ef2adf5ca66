"""A site at a vendor of the lab: its hosts come from the vendor's account API."""

from __future__ import annotations

import pulumi
from pulumi.dynamic import Resource

from stacks.account_api import BucketProvider, HostProvider
from stacks.contract import SiteArgs
from stacks.host_key import HostKey


class Host(Resource, name="Host"):
    """One Debian host."""

    address: pulumi.Output[str]

    def __init__(self, name: str, args: SiteArgs, key: HostKey, opts: pulumi.ResourceOptions) -> None:
        super().__init__(
            HostProvider(),
            name,
            {
                "account": args.account,
                "name": name,
                "size": args.size,
                "authorized_key": args.authorized_key,
                "host_key_private": key.private,
                "host_key": key.public,
                "address": None,
            },
            opts,
        )


class Bucket(Resource, name="Bucket"):
    """One bucket; what is in it outlives the site, so destroying the stack leaves it."""

    def __init__(self, name: str, account: str, opts: pulumi.ResourceOptions) -> None:
        keep = pulumi.ResourceOptions(retain_on_delete=True)
        super().__init__(
            BucketProvider(),
            name,
            {"account": account, "name": name},
            pulumi.ResourceOptions.merge(opts, keep),
        )


class LabSite(pulumi.ComponentResource):
    """One host with a pinned key, and the buckets that are asked for."""

    def __init__(self, args: SiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("resilience:site:Lab", args.site, None, opts)
        if not args.account:
            message = f"{args.site}: give the URL of {args.vendor}'s account API (resilience:account)."
            raise pulumi.RunError(message)
        ours = pulumi.ResourceOptions(parent=self)
        name = f"{args.site}-1"
        key = HostKey(name, ours)
        host = Host(name, args, key, ours)
        for bucket in args.buckets:
            Bucket(bucket, args.account, ours)
        self.addresses: pulumi.Input[list[str]] = pulumi.Output.all(host.address).apply(list)
        self.host_keys: pulumi.Input[list[str]] = pulumi.Output.all(key.public).apply(list)
        self.ssh_user = "root"
        self.ssh_port = 22
        self.register_outputs({"addresses": self.addresses, "host_keys": self.host_keys})
