"""What a site's vendor tells beforehand, asked with the site's own credentials: a handful of reads, nothing is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache

from resilience.adapters import aws_rights, google_preflight, openstack_preflight
from resilience.adapters.asking import LATER, PAYMENTS, Asked, outcome, there
from resilience.adapters.asking import room as left
from resilience.adapters.budget import Budget, budgets
from resilience.adapters.vendor_clients import aws_client, hetzner_client
from resilience.errors import ResilienceError
from resilience.model import Site
from resilience.model.probe import Trial
from stacks.sizes import AWS, HETZNER

DEBIAN = "136693071363"
"""Debian's own account at AWS."""
VCPUS, VPCS = ("ec2", "L-1216C47A", "processors of standard instances"), ("vpc", "L-F678F1CE", "networks (VPC)")
UNTOLD = Trial("account", "unknown", "no interface tells its age and payments", "Look at the vendor's billing pages.")
WHOLE_PROJECT = Trial(
    "least rights",
    "warn",
    "a token at Hetzner that may write may do so everywhere in its project: there is none that may less",
    "Keep nothing in that project but this fleet, and the token in the kit alone.",
)
NO_LIMITS = Trial(
    "quota", "unknown", "no interface tells the account's limits", "Look at Limits in the vendor's console."
)


def preflight(
    site: Site, credentials: Mapping[str, str], endpoint: str | None = None, *, budget: Budget | None = None
) -> tuple[Trial, ...]:
    """Each question's outcome; raises where the account answers as a closed one, or nobody asks this vendor."""
    budget = budget or budgets("check")(site.vendor)
    untold: tuple[Trial, ...] = ()
    if site.stack == "aws":
        asked, untold = _aws(site, credentials, endpoint, budget), (PAYMENTS,)
    elif site.stack == "hetzner":
        asked, untold = _hetzner(site, credentials, endpoint, budget), (WHOLE_PROJECT, NO_LIMITS, UNTOLD)
    elif site.stack == "gcp":
        asked = google_preflight.questions(site, credentials, endpoint, budget)
    elif site.stack == "openstack":
        asked, untold = openstack_preflight.questions(site, credentials, budget), (UNTOLD,)
    else:
        raise ResilienceError("this vendor is not asked", "No client of it is here.", "See its page in docs/vendors.")
    return (*(outcome(site, question) for question in asked), *untold)


def _aws(site: Site, credentials: Mapping[str, str], endpoint: str | None, budget: Budget) -> Iterator[Asked]:
    region = site.region or "us-east-1"
    services = ("sts", "iam", "ec2", "service-quotas", "account")
    sts, iam, ec2, quotas, account = (aws_client(name, region, credentials, endpoint, budget) for name in services)
    wanted = site.type or _first(AWS, site)

    @cache
    def who() -> str:
        return str(sts.get_caller_identity()["Arn"])

    def kinds() -> str:
        found = ec2.describe_instance_type_offerings(Filters=[{"Name": "instance-type", "Values": [wanted]}])
        return there(found["InstanceTypeOfferings"], f"{wanted} is offered in {region}")

    def image() -> str:
        pattern = [{"Name": "name", "Values": ["debian-12-amd64-*"]}]
        found = (
            ec2.describe_images(ImageIds=[site.image])
            if site.image
            else ec2.describe_images(Owners=[DEBIAN], Filters=pattern)
        )
        return there(found["Images"], f"{site.image or 'Debian 12'} is there")

    def regions() -> str:
        known = [each["RegionName"] for each in ec2.describe_regions()["Regions"]]
        return there([name for name in known if name == region], f"{region} is a region")

    def age() -> str:
        told = account.get_account_information()
        made, state = told["AccountCreatedDate"].date(), told.get("AccountState", "ACTIVE")
        return there(state == "ACTIVE", f"the account was made on {made} and is {state.lower()}")

    def room(what: tuple[str, str, str], need: int, used: Callable[[], int]) -> Callable[[], str]:
        def ask() -> str:
            limit = quotas.get_service_quota(ServiceCode=what[0], QuotaCode=what[1])["Quota"]["Value"]
            return left(limit, used(), need, what[2])

        return ask

    yield Asked("credentials", who, "See accounts/ in the kit.")
    yield Asked("least rights", lambda: aws_rights.least(iam, who()), aws_rights.ADVICE)
    yield Asked("account", age, "Give these credentials account:GetAccountInformation, or look at the billing pages.")
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


def _hetzner(site: Site, credentials: Mapping[str, str], endpoint: str | None, budget: Budget) -> Iterator[Asked]:
    client = hetzner_client(credentials, endpoint, budget)
    wanted, region = site.type or _first({n: h[:2] for n, h in HETZNER.items()}, site), site.region or "fsn1"

    def project() -> str:
        found = client.servers.get_list(per_page=1).meta.pagination
        return f"they open a project with {found.total_entries} servers"

    def location() -> str:
        return there(client.locations.get_list(name=region).locations, f"{region} is a location")

    def kind() -> str:
        return there(client.server_types.get_list(name=wanted).server_types, f"{wanted} is sold")

    def image() -> str:
        found = client.images.get_list(name=site.image or "debian-12", architecture=["x86"]).images
        return there(found, f"{site.image or 'debian-12'} is there")

    yield Asked("credentials", project, "See accounts/ in the kit.")
    yield Asked("region", location, "Write one of the vendor's own words: region.")
    yield Asked("size", kind, "Give another type.")
    yield Asked("image", image, "Leave image out, or write one of the vendor's own names.")


def _first(types: Mapping[str, tuple[int, int]], site: Site) -> str:
    """The first type that is large enough; the vendor is asked for our own word where none is."""
    wanted = site.machine
    return next((n for n, has in types.items() if has[0] >= wanted.cpu and has[1] >= wanted.memory_gb), site.size)
