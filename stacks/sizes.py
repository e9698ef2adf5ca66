"""Our sizes in vendors' own words: the first type, from small to large, that has at least what was asked for.

All of them are amd64: a physical copy of a database starts on the same architecture only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from resilience.model import Machine
from stacks.contract import SiteArgs, Unfit

AWS: Mapping[str, tuple[int, int]] = {
    "t3.medium": (2, 4),
    "t3.large": (2, 8),
    "c6i.xlarge": (4, 8),
    "m6i.xlarge": (4, 16),
    "r6i.large": (2, 16),
    "c6i.2xlarge": (8, 16),
    "m6i.2xlarge": (8, 32),
    "r6i.2xlarge": (8, 64),
    "m6i.4xlarge": (16, 64),
    "m6i.8xlarge": (32, 128),
    "m6i.16xlarge": (64, 256),
}
"""cpu, memory in GiB; the disk is a volume of its own."""
HETZNER: Mapping[str, tuple[int, int, int]] = {
    "cx23": (2, 4, 40),
    "cx33": (4, 8, 80),
    "cx43": (8, 16, 160),
    "cx53": (16, 32, 320),
    "ccx43": (16, 64, 360),
    "ccx53": (32, 128, 600),
    "ccx63": (48, 192, 960),
}
"""cpu, memory, and the disk that comes with it."""
GOOGLE_CPU, GOOGLE_GB_PER_CPU = 32, 8
"""The largest custom E2 machine, and how much memory a processor may have."""


def aws(args: SiteArgs) -> str:
    """An EC2 instance type."""
    has = {name: Machine(cpu, memory, args.machine.disk_gb) for name, (cpu, memory) in AWS.items()}
    return args.type or _first(args, has)


def hetzner(args: SiteArgs) -> str:
    """A Hetzner server type."""
    return args.type or _first(args, {name: Machine(*what) for name, what in HETZNER.items()})


def gcp(args: SiteArgs) -> str:
    """A custom E2 machine of just that size: an even number of processors, up to 8 GB for each."""
    wanted = args.machine
    cpu = max(wanted.cpu, ceil(wanted.memory_gb / GOOGLE_GB_PER_CPU))
    cpu += cpu % 2
    if not args.type and cpu > GOOGLE_CPU:
        raise _too_large(args, [f"e2-custom-{GOOGLE_CPU}-{GOOGLE_CPU * GOOGLE_GB_PER_CPU * 1024}"])
    return args.type or f"e2-custom-{cpu}-{max(wanted.memory_gb, ceil(cpu / 2)) * 1024}"


def _first(args: SiteArgs, types: Mapping[str, Machine]) -> str:
    wanted = args.machine
    for name, has in types.items():
        if has.cpu >= wanted.cpu and has.memory_gb >= wanted.memory_gb and has.disk_gb >= wanted.disk_gb:
            return name
    raise _too_large(args, list(types))


def _too_large(args: SiteArgs, types: Sequence[str]) -> Unfit:
    wanted = args.machine
    return Unfit(
        f"{args.site}: none of the types known here has {wanted.cpu} processors, {wanted.memory_gb} GB of memory and "
        f'{wanted.disk_gb} GB of disk; the largest is {types[-1]}. Give the vendor\'s own word for one: type = "…".'
    )
