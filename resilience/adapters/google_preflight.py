"""What Google Cloud tells of a project beforehand, through Google's own authorized session."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from resilience.adapters.asking import LATER, Asked, no, room, there
from resilience.adapters.budget import Budget
from resilience.adapters.google_credentials import quiet
from resilience.model import Site

COMPUTE, BILLING = "https://compute.googleapis.com", "https://cloudbilling.googleapis.com"
RESOURCES = "https://cloudresourcemanager.googleapis.com"
OWNER = ("resourcemanager.projects.setIamPolicy", "resourcemanager.projects.delete", "iam.roles.update")
"""Whoever may one of these can give itself all else, or end the project."""
ANYBODY = ("iam.serviceAccountKeys.create", "iam.serviceAccounts.setIamPolicy", "iam.serviceAccounts.actAs")
"""Whoever may one of these on the project can become every service account that is in it."""
SCOPE = "https://www.googleapis.com/auth/cloud-platform.read-only"
WORD = "Write one of the vendor's own words: region, zone."


def questions(site: Site, credentials: Mapping[str, str], endpoint: str | None, budget: Budget) -> Iterator[Asked]:
    """Seven reads: the project, what these credentials may do to it, its billing, the region with its quotas, the machine type, the image."""
    get, project = session(credentials, budget), credentials["GOOGLE_PROJECT"]
    own = f"{endpoint or COMPUTE}/compute/v1/projects/{project}"
    seen: dict[str, Any] = {}

    def region() -> Any:
        if "region" not in seen:
            seen["region"] = get(f"{own}/regions/{site.region}")
        return seen["region"] or no(f"the vendor knows no region {site.region}")

    def quota(metric: str, need: float, what: str) -> str:
        told = next((q for q in region().get("quotas", ()) if q["metric"] == metric), None)
        return room(told["limit"], told["usage"], need, what) if told else no(f"no quota of {what} is told")

    def project_made() -> str:
        return f"the project was made on {str((get(own) or no('no such project'))['creationTimestamp'])[:10]}"

    def billed() -> str:
        told = get(f"{endpoint or BILLING}/v1/projects/{project}/billingInfo") or {}
        return there(told.get("billingEnabled"), "the project has a billing account that is open")

    def size() -> str:
        from stacks import sizes
        from stacks.contract import SiteArgs

        wanted = sizes.gcp(SiteArgs(site.name, site.vendor, machine=site.machine, type=site.type))
        return there(get(f"{own}/zones/{site.zone}/machineTypes/{wanted}"), f"{wanted} can be had in {site.zone}")

    def image() -> str:
        debian = f"{endpoint or COMPUTE}/compute/v1/projects/debian-cloud/global/images/family/debian-12"
        found = get(f"{own}/global/images/{site.image}" if site.image else debian)
        return there(found, f"{site.image or 'Debian 12'} is there")

    yield Asked("credentials", project_made, "See accounts/ in the kit.")
    yield Asked(
        "least rights",
        lambda: _least(get, f"{endpoint or RESOURCES}/v1/projects/{project}"),
        "Give the roles that docs/vendors/gcp.md names, and no Owner or Editor.",
    )
    yield Asked("payments", billed, "Give the project a billing account, and pay what is open.")
    yield Asked("region", lambda: there(region().get("status") == "UP", f"{site.region} is up"), WORD)
    yield Asked("size", size, "Give another type, or another zone.")
    yield Asked("image", image, "Leave image out, or give one of the project's own.")
    yield Asked("quota of processors", lambda: quota("CPUS", site.machine.cpu, "processors"), LATER)
    yield Asked("quota of addresses", lambda: quota("STATIC_ADDRESSES", 1, "static addresses"), LATER)
    yield Asked("quota of disk", lambda: quota("SSD_TOTAL_GB", site.machine.disk_gb, "GB of disk"), LATER)


def _least(get: Any, project: str) -> str:
    """Which of the rights that must be absent Google says these credentials have."""
    tried = get(f"{project}:testIamPermissions", {"permissions": OWNER + ANYBODY})
    may = set((tried or {}).get("permissions", ()))
    if owner := sorted(may & set(OWNER)):
        no(f"they may {', '.join(owner)}: enough to do everything in the project, or to end it")
    if may:
        no(f"they may {', '.join(sorted(may))}: with that they become any service account of the project", "warn")
    if tried is None:
        no("no such project is shown to them", "unknown")
    return f"none of {len(OWNER + ANYBODY)} rights that are too mighty"


def session(credentials: Mapping[str, str], budget: Budget) -> Any:
    """GET of one address, or POST of something: what it says, or None where there is no such thing."""
    from google.auth.exceptions import DefaultCredentialsError
    from google.auth.transport.requests import AuthorizedSession, Request
    from google.oauth2 import service_account
    from requests import Session

    def get(url: str, told: Mapping[str, Any] | None = None) -> Any:
        if "session" not in made:
            try:
                key = json.loads(credentials["GOOGLE_CREDENTIALS"])
                who = service_account.Credentials.from_service_account_info(key, scopes=[SCOPE])  # type: ignore[no-untyped-call]
            except ValueError as error:
                raise DefaultCredentialsError(f"could not find default credentials: {error}") from error  # type: ignore[no-untyped-call]
            quiet(who)
            made["session"] = budget.guard(AuthorizedSession(who, auth_request=Request(budget.guard(Session()))))  # type: ignore[no-untyped-call]
        answer = made["session"].request("POST" if told else "GET", url, json=told, timeout=10)
        if answer.status_code == 404:  # noqa: PLR2004
            return None
        answer.raise_for_status()
        return answer.json()

    made: dict[str, Any] = {}
    return get
