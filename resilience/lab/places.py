"""Who the lab's vendors are and where: every address, name and path of the lab is written here once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

INSTANCE = os.environ.get("RESILIENCE_LAB_INSTANCE", "")
"""Empty for the lab; tests of the lab itself use another, so that a lab somebody looks at is left alone."""
PREFIX = f"rsl{INSTANCE}-"
"""Every network namespace of the lab begins with this."""
MASK = 15
NETWORK = f"198.18.0.0/{MASK}"
OPERATOR = "198.18.0.10"
USERS = "198.18.0.20"
RESOLVER = "198.18.0.53"
BRIDGE_SPACE = f"{PREFIX}net"
OPERATOR_SPACE = f"{PREFIX}operator"
USERS_SPACE = f"{PREFIX}users"
RESOLVER_SPACE = f"{PREFIX}resolver"
HOST_SPACE = f"{PREFIX}h-"
VAULT_BUCKET = "plaza-vault"
NAME = "plaza.test"
NAME_TTL_S = 30
DNS_API_PORT = 8081
FIRST_HOST = 100

BucketKind = Literal["s3", "gcs"]


@dataclass(frozen=True, slots=True)
class Place:
    """One vendor of the lab: what it sells and where."""

    name: str
    number: int
    account: bool = False
    bucket: BucketKind | None = None
    vault: bool = False
    dns: bool = False
    hosts: bool = False

    @property
    def space(self) -> str:
        """The network namespace this vendor's services are in."""
        return f"{PREFIX}{self.name}"

    @property
    def network(self) -> str:
        """All addresses of this vendor."""
        return f"198.18.{self.number}.0/24"

    @property
    def account_address(self) -> str:
        """Where the account API answers."""
        return f"198.18.{self.number}.2"

    @property
    def bucket_address(self) -> str:
        """Where buckets answer."""
        return f"198.18.{self.number}.3"

    @property
    def dns_address(self) -> str:
        """Where the name server answers, and its HTTP API."""
        return f"198.18.{self.number}.53"

    def host_address(self, index: int) -> str:
        """The address of this vendor's host number `index`."""
        return f"198.18.{self.number}.{FIRST_HOST + index}"

    @property
    def service_addresses(self) -> tuple[str, ...]:
        """Addresses of this vendor's own services."""
        wanted = (
            (self.account, self.account_address),
            (self.bucket is not None, self.bucket_address),
            (self.dns, self.dns_address),
        )
        return tuple(address for there, address in wanted if there)


VENDORS = (
    Place("acorn", 1, account=True, bucket="s3", dns=True, hosts=True),
    Place("birch", 2, account=True, bucket="gcs", vault=True, dns=True, hosts=True),
    Place("cedar", 3, bucket="s3", vault=True, hosts=True),
    Place("dover", 4, dns=True),
    Place("elm", 5, bucket="s3", vault=True),
)
METAL_HOST = "cedar-1"
"""The host that is simply there."""
NAME_VENDORS = ("acorn", "dover")
"""Where the public name is served from."""
SPARE_NAME_VENDOR = "birch"
"""Where a zone is kept that nobody is led to."""
REGISTRY = Place("registry", 9, dns=True)
"""The parent zone's own name server; its interface is what a registrar's is: who leads where."""
PARENT = "test"
AUTHORITIES = {"larch": "198.18.10.2", "maple": "198.18.11.2"}
"""Certificate authorities, in a lab that has any: who they are and where they are asked."""


def authority_space(name: str) -> str:
    """The network namespace of a certificate authority."""
    return f"{PREFIX}ca-{name}"


def nameserver(vendor: Place) -> str:
    """What a vendor's name server is called."""
    return f"ns1.{vendor.name}.{PARENT}"


def place(name: str) -> Place:
    """The vendor called `name`; KeyError when the lab has none."""
    for vendor in VENDORS:
        if vendor.name == name:
            return vendor
    raise KeyError(name)
