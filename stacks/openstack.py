"""A site at an OpenStack vendor (OVH, Infomaniak and others): one instance behind a security group.

Without `network` the host stands in the vendor's external network itself, as at OVH; with one it gets a
network of its own and a floating address, as at Infomaniak. A flavor's own disk is not encrypted by anything that we
could ask for; with `disk` the host boots from a volume of a kind that the vendor encrypts.
"""

from __future__ import annotations

import pulumi
import pulumi_openstack as openstack

from stacks import first_boot
from stacks.contract import SiteArgs, Unfit
from stacks.host_key import HostKey
from stacks.openings import openings

STAYS = ["image_id", "flavor_id", "user_data", "block_devices"]
"""What may change in the fleet file or at the vendor without the host being made anew."""


class OpenStackSite(pulumi.ComponentResource):
    """One Debian host with a pinned key."""

    def __init__(self, args: SiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args.require("region", "authorized_key", "operators")
        flavor, image, outside = _flavor(args), _image(args), _outside(args)
        super().__init__("resilience:site:OpenStack", args.site, None, opts)
        ours = pulumi.ResourceOptions(parent=self)
        key = HostKey(f"{args.site}-1", ours)
        group = _group(args, ours)
        way = _Routed(args, outside, group, ours) if args.network else _Direct(args, outside, group, ours)
        told = pulumi.Output.all(key.private, key.public).apply(
            lambda both: first_boot.cloud_config(args.authorized_key, both[0], both[1])
        )
        openstack.compute.Instance(
            args.name,
            name=args.name,
            region=args.region,
            availability_zone=args.zone or None,
            flavor_id=flavor,
            image_id=None if args.disk else image,
            block_devices=_volume(args, image),
            networks=[openstack.compute.InstanceNetworkArgs(port=way.port.id)],
            user_data=told,
            tags=_marks(args),
            metadata=args.tags,
            opts=pulumi.ResourceOptions.merge(
                ours, pulumi.ResourceOptions(ignore_changes=STAYS, additional_secret_outputs=["user_data"])
            ),
        )
        self.addresses: pulumi.Input[list[str]] = pulumi.Output.all(way.address).apply(list)
        self.host_keys: pulumi.Input[list[str]] = pulumi.Output.all(key.public).apply(list)
        self.ssh_user = "root"
        self.ssh_port = 22
        self.register_outputs({"addresses": self.addresses, "host_keys": self.host_keys})


class _Direct:
    """A port in the vendor's external network: its own address is the public one."""

    def __init__(
        self,
        args: SiteArgs,
        outside: str,
        group: openstack.networking.SecGroup,
        ours: pulumi.ResourceOptions,
    ) -> None:
        self.port = openstack.networking.Port(
            args.name,
            name=args.name,
            region=args.region,
            network_id=outside,
            security_group_ids=[group.id],
            tags=_marks(args),
            opts=ours,
        )
        self.address = self.port.all_fixed_ips.apply(lambda found: next(ip for ip in found if ":" not in ip))


class _Routed:
    """A network of the site's own, a router, and a floating address."""

    def __init__(
        self,
        args: SiteArgs,
        outside: str,
        group: openstack.networking.SecGroup,
        ours: pulumi.ResourceOptions,
    ) -> None:
        name, region, tags = args.name, args.region, _marks(args)
        network = openstack.networking.Network(name, name=name, region=region, tags=tags, opts=ours)
        subnet = openstack.networking.Subnet(
            name, name=name, region=region, network_id=network.id, cidr=args.network, ip_version=4, tags=tags, opts=ours
        )
        router = openstack.networking.Router(
            name, name=name, region=region, external_network_id=outside, tags=tags, opts=ours
        )
        joined = openstack.networking.RouterInterface(
            name, region=region, router_id=router.id, subnet_id=subnet.id, opts=ours
        )
        self.port = openstack.networking.Port(
            name,
            name=name,
            region=region,
            network_id=network.id,
            fixed_ips=[openstack.networking.PortFixedIpArgs(subnet_id=subnet.id)],
            security_group_ids=[group.id],
            tags=tags,
            opts=ours,
        )
        after = pulumi.ResourceOptions.merge(ours, pulumi.ResourceOptions(depends_on=[joined]))
        pool = openstack.networking.get_network(network_id=outside, region=region).name
        floating = openstack.networking.FloatingIp(
            name, region=region, pool=pool, port_id=self.port.id, tags=tags, opts=after
        )
        self.address = floating.address


def _group(args: SiteArgs, ours: pulumi.ResourceOptions) -> openstack.networking.SecGroup:
    group = openstack.networking.SecGroup(
        args.name,
        name=args.name,
        region=args.region,
        description=f"Site {args.site} of fleet {args.fleet}",
        tags=_marks(args),
        opts=ours,
    )
    for opening in openings(args):
        for rule in opening.rules(args.name):
            openstack.networking.SecGroupRule(
                rule.name,
                region=args.region,
                direction="ingress",
                ethertype=rule.family,
                protocol="tcp",
                port_range_min=opening.port,
                port_range_max=opening.port,
                remote_ip_prefix=rule.source,
                security_group_id=group.id,
                opts=pulumi.ResourceOptions.merge(
                    ours, pulumi.ResourceOptions(aliases=[pulumi.Alias(name=rule.former)])
                ),
            )
    return group


def _volume(args: SiteArgs, image: str) -> list[openstack.compute.InstanceBlockDeviceArgs] | None:
    """The volume of an encrypted kind that the host boots from; None where it boots from the flavor's own disk."""
    if not args.disk:
        return None
    return [
        openstack.compute.InstanceBlockDeviceArgs(
            uuid=image,
            source_type="image",
            destination_type="volume",
            boot_index=0,
            volume_size=args.machine.disk_gb,
            volume_type=args.disk,
            delete_on_termination=True,
        )
    ]


def _marks(args: SiteArgs) -> list[str]:
    return [f"{name}={value}" for name, value in args.tags.items()]


def _flavor(args: SiteArgs) -> str:
    """The given flavor, or the vendor's only one of just that size."""
    if args.type:
        return str(openstack.compute.get_flavor(name=args.type, region=args.region).id)
    wanted = args.machine
    found = openstack.compute.get_flavor(
        vcpus=wanted.cpu,
        ram=wanted.memory_gb * 1024,
        min_disk=None if args.disk else wanted.disk_gb,
        region=args.region,
    )
    return str(found.id)


def _image(args: SiteArgs) -> str:
    """The given image, or the newest whose name begins with "Debian 12"."""
    found = (
        openstack.images.get_image(name=args.image, most_recent=True, region=args.region)
        if args.image
        else openstack.images.get_image(name_regex="^Debian 12", most_recent=True, region=args.region)
    )
    return str(found.id)


def _outside(args: SiteArgs) -> str:
    """The vendor's external network."""
    found = openstack.networking.get_network(external=True, region=args.region)
    if not found.id:
        message = f"{args.site}: {args.vendor} shows no external network in {args.region}."
        raise Unfit(message)
    return str(found.id)
