"""Vendors that write down what a stack asks of them: Pulumi's own mocks, and what each vendor's look-ups answer.

Nothing of a vendor runs here. What is proven is what our program says, not what the vendor makes of it.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks, test

from resilience.model import SIZES
from stacks.contract import SiteArgs
from stacks.program import component

OUR_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIXEBw1gD7YKdZaOjiNkmXffvUe1Zf22hWqmIqXxoz7a us"
PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret-half\n-----END OPENSSH PRIVATE KEY-----\n"
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFWtv8LP7vj6bjJs7e7udK5FZoVc4zZDU4AGSGtLzEJG"
ADDRESS = "192.0.2.44"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
ARGS: Mapping[str, SiteArgs] = {
    kind: SiteArgs(
        site="oak",
        vendor=f"{kind}-account",
        authorized_key=OUR_KEY,
        machine=SIZES["small"],
        fleet="plaza",
        region=region,
        zone=zone,
        operators=("198.51.100.7/32", "2001:db8:7::/64"),
    )
    for kind, region, zone in (
        ("aws", "eu-central-1", "eu-central-1a"),
        ("gcp", "europe-west3", "europe-west3-b"),
        ("hetzner", "fsn1", ""),
        ("openstack", "GRA11", ""),
    )
}
LOOKUPS: Mapping[str, Mapping[str, Any]] = {
    "hcloud:index/getServerType:getServerType": {
        "name": "cx23",
        "architecture": "x86",
        "locations": [{"name": "fsn1"}, {"name": "nbg1"}],
    },
    "hcloud:index/getImage:getImage": {"id": 114690387, "name": "debian-12"},
    "hcloud:index/getSshKey:getSshKey": {"name": "plaza", "publicKey": OUR_KEY},
    "aws:ec2/getAmi:getAmi": {"id": "ami-debian12", "architecture": "x86_64"},
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": {"locations": ["eu-central-1a"]},
    "gcp:compute/getImage:getImage": {"selfLink": "projects/debian-cloud/global/images/debian-12-v2"},
    "gcp:compute/getZones:getZones": {"names": ["europe-west3-a", "europe-west3-b", "europe-west3-c"]},
    "gcp:compute/getMachineTypes:getMachineTypes": {"machineTypes": [{"name": "e2-medium"}]},
    "openstack:compute/getFlavor:getFlavor": {"id": "flavor-1"},
    "openstack:images/getImage:getImage": {"id": "image-1"},
    "openstack:networking/getNetwork:getNetwork": {"id": "net-1", "name": "Ext-Net"},
}
MADE: Mapping[str, Mapping[str, Any]] = {
    "hcloud:index/server:Server": {"ipv4Address": ADDRESS},
    "aws:ec2/eip:Eip": {"publicIp": ADDRESS},
    "gcp:compute/address:Address": {"address": ADDRESS},
    "openstack:networking/port:Port": {"allFixedIps": ["2001:db8::5", ADDRESS]},
    "openstack:networking/floatingIp:FloatingIp": {"address": ADDRESS},
    "aws:iam/accessKey:AccessKey": {"secret": "aws-secret-half"},
    "gcp:serviceaccount/account:Account": {"email": "one@plaza.iam.example", "name": "projects/plaza/accounts/one"},
    "gcp:serviceaccount/key:Key": {"privateKey": "eyJ0eXBlIjogInNlcnZpY2VfYWNjb3VudCJ9"},
    "pulumi-python:dynamic:HostKey": {"public": PUBLIC},
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One resource a program asked for."""

    type: str
    name: str
    inputs: Mapping[str, Any]
    ignored: tuple[str, ...]
    secret_outputs: tuple[str, ...]
    kept: bool
    """True when destroying the stack leaves it."""
    former: tuple[str, ...] = ()
    """Names that it had before, as an engine's state may still know it."""


@dataclass
class Vendor(Mocks):
    """Answers look-ups, and counts what is made."""

    lookups: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: LOOKUPS)
    looked_up: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    count: int = 0

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        """Answer a look-up, or fail as a provider does where the vendor has no such thing."""
        self.looked_up.append((args.token, args.args))
        if args.token not in self.lookups:
            raise LookupError(args.token)
        return {**args.args, **self.lookups[args.token]}, []

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[Any, Any]]:
        """What was made has the inputs it was asked for, an id that is its name's, and what only the vendor knows."""
        made = {**args.inputs, **MADE.get(args.typ, {})}
        if args.typ.endswith(":HostKey"):
            made["private"] = pulumi.Output.secret(PRIVATE)  # the engine marks it so: HostKey says that it is one
        self.count += 1
        return str(zlib.crc32(f"{args.typ} {args.name}".encode())), made


class Recorder(MockMonitor):
    """Keeps each request as the engine would get it."""

    def __init__(self, vendor: Vendor) -> None:
        super().__init__(vendor)
        self.asked: list[Asked] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the engine's name
        """Write a request down, then answer it."""
        made = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.custom:
            inputs = pulumi.runtime.rpc.deserialize_properties(request.object)
            self.asked.append(
                Asked(
                    request.type,
                    request.name,
                    inputs,
                    tuple(request.ignoreChanges),
                    tuple(request.additionalSecretOutputs),
                    request.retainOnDelete,
                    tuple(alias.spec.name or alias.urn.rpartition("::")[2] for alias in request.aliases),
                )
            )
        return made


@dataclass(frozen=True, slots=True)
class Made:
    """What a program asked for, and what it says."""

    asked: tuple[Asked, ...]
    outputs: Mapping[str, Any]
    looked_up: tuple[tuple[str, Mapping[str, Any]], ...]

    def of(self, *kinds: str) -> list[Asked]:
        """Resources whose type ends in one of these."""
        return [one for one in self.asked if one.type.rpartition(":")[2] in kinds]


def run(program: Callable[[], Mapping[str, Any]], vendor: Vendor | None = None) -> Made:
    """Run a program that returns what it would export; settings of the process are left as they were."""
    answering = vendor or Vendor()
    recorder = Recorder(answering)
    outputs: dict[str, Any] = {}

    def keep(values: Mapping[str, Any]) -> None:
        outputs.update(values)

    def inside() -> None:
        set_mocks(answering, project="resilience", stack="oak", preview=False, monitor=recorder)
        test(lambda: pulumi.Output.all(**program()).apply(keep))()  # type: ignore[no-untyped-call]

    settle()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        contextvars.copy_context().run(inside)
    finally:
        loop.close()
        settle()
    return Made(tuple(recorder.asked), outputs, tuple(answering.looked_up))


def settle() -> None:
    """Collect what a program left half awaited, here and now.

    Collected later it is complained about from within whatever runs then, and Python 3.11 does not stand that while it
    parses a module: "AST constructor recursion depth mismatch".
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def make_site(kind: str, args: SiteArgs | None = None, vendor: Vendor | None = None) -> Made:
    """A site of this kind, made against mocks."""

    def program() -> Mapping[str, Any]:
        site = component(kind)(args or ARGS[kind])
        return {name: getattr(site, name) for name in ("addresses", "host_keys", "ssh_user", "ssh_port")}

    return run(program, vendor)


def is_secret(value: Any) -> bool:
    """Whether a value went to the engine as a secret."""
    return isinstance(value, dict) and SECRET in value.values()


def plain(value: Any) -> Any:
    """A value without its mark."""
    return value["value"] if is_secret(value) else value


def walk(value: Any) -> Iterator[Any]:
    """A value and everything in it."""
    yield value
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in inside:
        yield from walk(part)
