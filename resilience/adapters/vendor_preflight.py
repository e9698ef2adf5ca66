"""What a site's vendor tells beforehand, asked with the site's own credentials: a handful of reads, nothing is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from resilience.adapters.answers import closed, codes_of
from resilience.errors import ResilienceError
from resilience.model import Site
from resilience.model.probe import Trial
from stacks.sizes import AWS, HETZNER

DEBIAN = "136693071363"
"""Debian's own account at AWS."""
VCPUS, VPCS = ("ec2", "L-1216C47A", "processors of standard instances"), ("vpc", "L-F678F1CE", "networks (VPC)")
UNTOLD = Trial("account", "unknown", "no interface tells its age and payments", "Look at the vendor's billing pages.")
NO_LIMITS = Trial(
    "quota", "unknown", "no interface tells the account's limits", "Look at Limits in the vendor's console."
)
LATER = "Ask for more now: it can take days, and young accounts are refused."


@dataclass(frozen=True)
class Asked:
    """One question: what it is about, how it is asked, and what to do where the answer is no."""

    name: str
    ask: Callable[[], str]
    next: str


class No(Exception):
    """The vendor answered, and it does not suit."""


def preflight(site: Site, credentials: Mapping[str, str], endpoint: str | None = None) -> tuple[Trial, ...]:
    """Each question's outcome; raises where the account answers as a closed one, or nobody asks this vendor."""
    questions = {"aws": _aws, "hetzner": _hetzner}.get(site.stack)
    if questions is None:
        raise ResilienceError("this vendor is not asked", "No client of it is here.", "See its page in docs/vendors.")
    asked = [_outcome(site, question) for question in questions(site, credentials, endpoint)]
    return (*asked, *((NO_LIMITS,) if site.stack == "hetzner" else ()), UNTOLD)


def _outcome(site: Site, question: Asked) -> Trial:
    try:
        return Trial(question.name, "pass", question.ask())
    except No as error:
        return Trial(question.name, "fail", str(error), question.next)
    except Exception as error:
        from botocore.exceptions import BotoCoreError, ClientError
        from hcloud import HCloudException
        from requests import RequestException

        if not isinstance(error, BotoCoreError | ClientError | HCloudException | RequestException):
            raise
        if (gone := closed(site.vendor, error)) is not None:
            raise gone from error
        codes = ", ".join(code for code in codes_of(error) if code)
        return Trial(question.name, "unknown", f"no answer ({codes or type(error).__name__})", question.next)


def _aws(site: Site, credentials: Mapping[str, str], endpoint: str | None) -> Iterator[Asked]:
    import boto3
    from botocore.config import Config

    region = site.region or "us-east-1"
    polite = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=3, read_timeout=10)
    keys = {name.lower(): value for name, value in credentials.items() if name.startswith("AWS_") and "KEY" in name}
    who, ec2, quotas = (
        boto3.client(name, region_name=region, endpoint_url=endpoint, config=polite, **keys)  # type: ignore[call-overload]
        for name in ("sts", "ec2", "service-quotas")
    )
    wanted = site.type or _first(AWS, site)

    def kinds() -> str:
        found = ec2.describe_instance_type_offerings(Filters=[{"Name": "instance-type", "Values": [wanted]}])
        return _there(found["InstanceTypeOfferings"], f"{wanted} is offered in {region}")

    def image() -> str:
        pattern = [{"Name": "name", "Values": ["debian-12-amd64-*"]}]
        found = (
            ec2.describe_images(ImageIds=[site.image])
            if site.image
            else ec2.describe_images(Owners=[DEBIAN], Filters=pattern)
        )
        return _there(found["Images"], f"{site.image or 'Debian 12'} is there")

    def regions() -> str:
        known = [each["RegionName"] for each in ec2.describe_regions()["Regions"]]
        return _there([name for name in known if name == region], f"{region} is a region")

    def room(what: tuple[str, str, str], need: int, used: Callable[[], int]) -> Callable[[], str]:
        def ask() -> str:
            limit = quotas.get_service_quota(ServiceCode=what[0], QuotaCode=what[1])["Quota"]["Value"]
            said = f"{limit:.0f} {what[2]} allowed, {used()} in use, {need} needed"
            return said if limit - used() >= need else _no(said)

        return ask

    yield Asked("credentials", lambda: str(who.get_caller_identity()["Arn"]), "See accounts/ in the kit.")
    yield Asked("region", regions, "Write one of the vendor's own words: region.")
    yield Asked("size", kinds, "Give another type, or another region.")
    yield Asked("image", image, "Leave image out, or give one that this account may use.")
    cpus = AWS.get(wanted, (site.machine.cpu, 0))[0]
    yield Asked("quota of processors", room(VCPUS, cpus, lambda: _cpus(ec2)), LATER)
    yield Asked("quota of networks", room(VPCS, 1, lambda: len(ec2.describe_vpcs()["Vpcs"])), LATER)


def _cpus(ec2: object) -> int:
    """Processors of the instances that run."""
    running = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=running)  # type: ignore[attr-defined]
    found = [i for page in pages for r in page["Reservations"] for i in r["Instances"]]
    return sum(i["CpuOptions"]["CoreCount"] * i["CpuOptions"]["ThreadsPerCore"] for i in found if "CpuOptions" in i)


def _hetzner(site: Site, credentials: Mapping[str, str], endpoint: str | None) -> Iterator[Asked]:
    from hcloud import Client

    where = {"api_endpoint": endpoint} if endpoint else {}
    client = Client(credentials["HCLOUD_TOKEN"], timeout=5, **where)  # type: ignore[arg-type]
    wanted, region = site.type or _first({n: h[:2] for n, h in HETZNER.items()}, site), site.region or "fsn1"

    def location() -> str:
        return _there(client.locations.get_list(name=region).locations, f"{region} is a location")

    def kind() -> str:
        return _there(client.server_types.get_list(name=wanted).server_types, f"{wanted} is sold")

    def image() -> str:
        found = client.images.get_list(name=site.image or "debian-12", architecture=["x86"]).images
        return _there(found, f"{site.image or 'debian-12'} is there")

    yield Asked("region", location, "Write one of the vendor's own words: region.")
    yield Asked("size", kind, "Give another type.")
    yield Asked("image", image, "Leave image out, or write one of the vendor's own names.")


def _first(types: Mapping[str, tuple[int, int]], site: Site) -> str:
    """The first type that is large enough; the vendor is asked for our own word where none is."""
    wanted = site.machine
    return next((n for n, has in types.items() if has[0] >= wanted.cpu and has[1] >= wanted.memory_gb), site.size)


def _there(found: object, said: str) -> str:
    return said if found else _no(f"it is not so that {said}")


def _no(said: str) -> str:
    raise No(said)
