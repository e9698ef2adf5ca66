"""A site at Google Cloud: one instance in a network of its own."""

from __future__ import annotations

import pulumi
import pulumi_gcp as gcp

from stacks import first_boot, sizes
from stacks.contract import SiteArgs, Unfit
from stacks.host_key import HostKey
from stacks.openings import openings

NETWORK = "10.23.1.0/24"
METADATA = {"enable-oslogin": "FALSE", "block-project-ssh-keys": "TRUE", "serial-port-enable": "FALSE"}
"""Nobody gets in by the project's keys, by a Google account's, or by the serial port."""
STAYS = ["bootDisk.initializeParams", "metadata_startup_script", "machine_type"]
"""What may change in the fleet file or at the vendor without the host being made anew."""


class GcpSite(pulumi.ComponentResource):
    """One Debian host with a pinned key, an encrypted disk and an address that stays."""

    def __init__(self, args: SiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args.require("region", "zone", "authorized_key", "operators")
        kind, image = _kind(args), _image(args)
        super().__init__("resilience:site:Gcp", args.site, None, opts)
        ours = pulumi.ResourceOptions(parent=self)
        key = HostKey(f"{args.site}-1", ours)
        address = gcp.compute.Address(
            args.name, name=args.name, region=args.region, address_type="EXTERNAL", labels=args.tags, opts=ours
        )
        told = pulumi.Output.all(key.private, key.public).apply(
            lambda both: first_boot.startup_script(args.authorized_key, both[0], both[1])
        )
        gcp.compute.Instance(
            args.name,
            name=args.name,
            zone=args.zone,
            machine_type=kind,
            boot_disk=gcp.compute.InstanceBootDiskArgs(
                auto_delete=True,
                initialize_params=gcp.compute.InstanceBootDiskInitializeParamsArgs(
                    image=image, size=args.machine.disk_gb, type="pd-balanced", labels=args.tags
                ),
            ),
            network_interfaces=[_interface(args, address, ours)],
            shielded_instance_config=gcp.compute.InstanceShieldedInstanceConfigArgs(
                enable_secure_boot=True, enable_vtpm=True, enable_integrity_monitoring=True
            ),
            metadata=METADATA,
            metadata_startup_script=told,
            labels=args.tags,
            tags=[args.name],
            opts=pulumi.ResourceOptions.merge(
                ours,
                pulumi.ResourceOptions(ignore_changes=STAYS, additional_secret_outputs=["metadata_startup_script"]),
            ),
        )
        self.addresses: pulumi.Input[list[str]] = pulumi.Output.all(address.address).apply(list)
        self.host_keys: pulumi.Input[list[str]] = pulumi.Output.all(key.public).apply(list)
        self.ssh_user = "root"
        self.ssh_port = 22
        self.register_outputs({"addresses": self.addresses, "host_keys": self.host_keys})


def _interface(
    args: SiteArgs, address: gcp.compute.Address, ours: pulumi.ResourceOptions
) -> gcp.compute.InstanceNetworkInterfaceArgs:
    """A network without Google's default rules: what is not opened stays closed."""
    network = gcp.compute.Network(args.name, name=args.name, auto_create_subnetworks=False, opts=ours)
    subnet = gcp.compute.Subnetwork(
        args.name,
        name=args.name,
        ip_cidr_range=args.network or NETWORK,
        network=network.id,
        region=args.region,
        opts=ours,
    )
    for opening in openings(args):
        for family in ("IPv4", "IPv6"):
            sources = [source for kind, source in opening.pairs() if kind == family]
            if sources:
                name = f"{args.name}-{opening.name}-{family[-1]}"
                gcp.compute.Firewall(
                    name,
                    name=name,
                    network=network.id,
                    direction="INGRESS",
                    allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=[str(opening.port)])],
                    source_ranges=sources,
                    target_tags=[args.name],
                    opts=ours,
                )
    return gcp.compute.InstanceNetworkInterfaceArgs(
        subnetwork=subnet.id,
        access_configs=[gcp.compute.InstanceNetworkInterfaceAccessConfigArgs(nat_ip=address.address)],
    )


def _kind(args: SiteArgs) -> str:
    """The machine type; a custom one of ours is no entry of any list, one of Google's own is looked up.

    So is the zone: with a custom type and a region that is none, the network and the address would be begun first.
    """
    zones = gcp.compute.get_zones(region=args.region).names
    if args.zone not in zones:
        known = ", ".join(zones) or "none: it is no region of Google's"
        message = f"{args.site}: zone {args.zone} is not in region {args.region}, whose zones are {known}."
        raise Unfit(message)
    if args.type:
        found = gcp.compute.get_machine_types(filter=f'name = "{args.type}"', zone=args.zone)
        if not found.machine_types:
            message = f"{args.site}: {args.type} can't be had in {args.zone}. Give another type or another zone."
            raise Unfit(message)
    return sizes.gcp(args)


def _image(args: SiteArgs) -> str:
    """The given image, or the newest of Google's Debian 12 family."""
    if args.image:
        return str(gcp.compute.get_image(name=args.image).self_link)
    return str(gcp.compute.get_image(family="debian-12", project="debian-cloud").self_link)
