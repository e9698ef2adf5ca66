"""A site at Amazon Web Services: one instance in a network of its own."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from stacks import first_boot, sizes
from stacks.contract import SiteArgs, Unfit
from stacks.host_key import HostKey
from stacks.openings import openings

DEBIAN = "136693071363"
"""The account Debian publishes its images from."""
NETWORK = "10.23.0.0/24"
STAYS = ["ami", "user_data", "user_data_base64", "instance_type", "root_block_device"]
"""What may change in the fleet file or at the vendor without the host being made anew."""


class AwsSite(pulumi.ComponentResource):
    """One Debian host with a pinned key, an encrypted disk and an address that stays."""

    def __init__(self, args: SiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args.require("region", "authorized_key", "operators")
        image, kind = _image(args), _kind(args)
        super().__init__("resilience:site:Aws", args.site, None, opts)
        ours = pulumi.ResourceOptions(parent=self)
        key = HostKey(f"{args.site}-1", ours)
        network = _Network(args, ours)
        host = aws.ec2.Instance(
            args.name,
            ami=image,
            instance_type=kind,
            region=args.region,
            subnet_id=network.subnet.id,
            vpc_security_group_ids=[network.group.id],
            user_data=pulumi.Output.all(key.private, key.public).apply(
                lambda both: first_boot.cloud_config(args.authorized_key, both[0], both[1])
            ),
            metadata_options=aws.ec2.InstanceMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            root_block_device=aws.ec2.InstanceRootBlockDeviceArgs(
                encrypted=True, volume_size=args.machine.disk_gb, volume_type="gp3", tags=_named(args)
            ),
            tags=_named(args),
            opts=pulumi.ResourceOptions.merge(
                ours,
                pulumi.ResourceOptions(
                    ignore_changes=STAYS, additional_secret_outputs=["user_data", "user_data_base64"]
                ),
            ),
        )
        address = aws.ec2.Eip(
            args.name, domain="vpc", instance=host.id, region=args.region, tags=_named(args), opts=ours
        )
        self.addresses: pulumi.Input[list[str]] = pulumi.Output.all(address.public_ip).apply(list)
        self.host_keys: pulumi.Input[list[str]] = pulumi.Output.all(key.public).apply(list)
        self.ssh_user = "root"
        self.ssh_port = 22
        self.register_outputs({"addresses": self.addresses, "host_keys": self.host_keys})


class _Network:
    """A network with one subnet, a way out, and nothing in but what is opened."""

    def __init__(self, args: SiteArgs, ours: pulumi.ResourceOptions) -> None:
        name, region, tags = args.name, args.region, _named(args)
        block = args.network or NETWORK
        vpc = aws.ec2.Vpc(name, cidr_block=block, region=region, tags=tags, opts=ours)
        gateway = aws.ec2.InternetGateway(name, vpc_id=vpc.id, region=region, tags=tags, opts=ours)
        self.subnet = aws.ec2.Subnet(
            name,
            vpc_id=vpc.id,
            cidr_block=block,
            availability_zone=args.zone or None,
            region=region,
            tags=tags,
            opts=ours,
        )
        out = aws.ec2.RouteTableRouteArgs(cidr_block="0.0.0.0/0", gateway_id=gateway.id)
        routes = aws.ec2.RouteTable(name, vpc_id=vpc.id, routes=[out], region=region, tags=tags, opts=ours)
        aws.ec2.RouteTableAssociation(
            name, subnet_id=self.subnet.id, route_table_id=routes.id, region=region, opts=ours
        )
        self.group = aws.ec2.SecurityGroup(
            name,
            name=name,
            description=f"Site {args.site} of fleet {args.fleet}",
            vpc_id=vpc.id,
            region=region,
            tags=tags,
            opts=ours,
        )
        _rules(args, self.group, ours)


def _rules(args: SiteArgs, group: aws.ec2.SecurityGroup, ours: pulumi.ResourceOptions) -> None:
    for opening in openings(args):
        for rule in opening.rules(args.name):
            aws.vpc.SecurityGroupIngressRule(
                rule.name,
                security_group_id=group.id,
                ip_protocol="tcp",
                from_port=opening.port,
                to_port=opening.port,
                cidr_ipv4=rule.source if rule.family == "IPv4" else None,
                cidr_ipv6=rule.source if rule.family == "IPv6" else None,
                description=opening.name,
                region=args.region,
                tags=_named(args),
                opts=pulumi.ResourceOptions.merge(
                    ours, pulumi.ResourceOptions(aliases=[pulumi.Alias(name=rule.former)])
                ),
            )
    aws.vpc.SecurityGroupEgressRule(
        f"{args.name}-out",
        security_group_id=group.id,
        ip_protocol="-1",
        cidr_ipv4="0.0.0.0/0",
        region=args.region,
        tags=_named(args),
        opts=ours,
    )


def _named(args: SiteArgs) -> dict[str, str]:
    return {**args.tags, "Name": args.name}


def _image(args: SiteArgs) -> str:
    """The given image, or the newest Debian 12 that Debian itself published."""
    pattern = aws.ec2.GetAmiFilterArgs(name="name", values=["debian-12-amd64-*"])
    given = aws.ec2.GetAmiFilterArgs(name="image-id", values=[args.image])
    found = aws.ec2.get_ami(
        filters=[given if args.image else pattern],
        owners=None if args.image else [DEBIAN],
        most_recent=True,
        region=args.region,
    )
    if found.architecture != "x86_64":
        message = f"{args.site}: {found.id} is {found.architecture}; a site's copies start on amd64 only."
        raise Unfit(message)
    return str(found.id)


def _kind(args: SiteArgs) -> str:
    """The instance type, if it is offered where the site shall be."""
    wanted, where = sizes.aws(args), args.zone or args.region
    offered = aws.ec2.get_instance_type_offerings(
        filters=[aws.ec2.GetInstanceTypeOfferingsFilterArgs(name="instance-type", values=[wanted])],
        location_type="availability-zone" if args.zone else "region",
        region=args.region,
    )
    if where not in offered.locations:
        message = f"{args.site}: {wanted} can't be had in {where}. Give another type or another place."
        raise Unfit(message)
    return wanted
