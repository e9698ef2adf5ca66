"""What an OpenStack vendor tells of a project beforehand, through OpenStack's own session (keystoneauth1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from resilience.adapters.asking import LATER, Asked, no, room, there
from resilience.adapters.budget import Budget
from resilience.model import Site

PAGES = 5
WORD = "Write one of the vendor's own words: region."


MEMBER = frozenset({"member", "_member_", "reader"})
"""OpenStack's own roles that may use a project, and not rule it."""
RULES = frozenset({"admin", "manager", "domain_admin", "cloud_admin"})


def questions(site: Site, credentials: Mapping[str, str], budget: Budget) -> Iterator[Asked]:
    """A handful of reads: limits of compute, volumes and addresses, the flavor, the image, the kind of disk."""
    get = Session(site, credentials, budget)

    @cache
    def limits(service: str, path: str) -> Mapping[str, float]:
        return dict(get(service, path)["limits"]["absolute"])

    def compute(most: str, used: str, need: float, said: str) -> str:
        told = limits("compute", "/limits")
        return room(told[most], told[used], need, said)

    def volumes() -> str:
        told = limits("block-storage", "/limits")
        return room(told["maxTotalVolumeGigabytes"], told["totalGigabytesUsed"], site.machine.disk_gb, "GB of volumes")

    def addresses() -> str:
        project = get.project()
        told = get("network", f"/v2.0/quotas/{project}/details.json")["quota"]["floatingip"]
        return room(told["limit"], told["used"], 1, "floating addresses")

    yield Asked("credentials", lambda: f"they open project {get.project()}", "See accounts/ in the kit.")
    yield Asked("least rights", lambda: _least(get), "Make an application credential with the role member, restricted.")
    yield Asked("region", lambda: there(limits("compute", "/limits"), f"{site.region} answers"), WORD)
    yield Asked("size", lambda: _flavor(site, get), "Give one of the vendor's own flavors: type.")
    yield Asked("image", lambda: _image(site, get), "Leave image out, or write the name of one that is there.")
    yield Asked("quota of instances", lambda: compute("maxTotalInstances", "totalInstancesUsed", 1, "instances"), LATER)
    yield Asked(
        "quota of processors", lambda: compute("maxTotalCores", "totalCoresUsed", site.machine.cpu, "processors"), LATER
    )
    yield Asked(
        "quota of memory",
        lambda: compute("maxTotalRAMSize", "totalRAMUsed", site.machine.memory_gb * 1024, "MB of memory"),
        LATER,
    )
    if site.network:
        yield Asked("quota of addresses", addresses, LATER)
    if site.disk:
        yield Asked("disk", lambda: _disk(site, get), "Give a kind of volume that the vendor encrypts: disk.")
        yield Asked("quota of volumes", volumes, LATER)


def _least(get: Session) -> str:
    """What the token itself says of roles, and whether the credential may make others."""
    roles, restricted = get.roles()
    shown = ", ".join(sorted(roles)) or "none"
    if ruling := sorted(roles & RULES):
        no(f"they have the role {', '.join(ruling)}: it may more than use the project")
    if restricted is False:
        no("the application credential is unrestricted: it may make others, with which a thief stays")
    if not roles or roles - MEMBER:
        no(f"roles: {shown}; what the vendor's own may do no interface tells", "unknown")
    if restricted is None:
        no(f"roles: {shown}; whether the credential may make others is not told", "unknown")
    return f"roles: {shown}; it may make no other credential"


def _flavor(site: Site, get: Session) -> str:
    found = get("compute", "/flavors/detail")["flavors"]
    if site.type:
        return there([f for f in found if f["name"] == site.type], f"{site.type} is there")
    wanted = site.machine
    fits = [f["name"] for f in found if (f["vcpus"], f["ram"]) == (wanted.cpu, wanted.memory_gb * 1024)]
    said = f"one flavor has just {wanted.cpu} processors and {wanted.memory_gb} GB: {', '.join(fits) or 'none'}"
    return there(len(fits) == 1, said)


def _image(site: Site, get: Session) -> str:
    wanted, path = site.image or "Debian 12", "/v2/images?status=active&limit=200"
    for _ in range(PAGES):
        told = get("image", path)
        names = [image["name"] for image in told["images"]]
        if any(name == site.image if site.image else name.startswith(wanted) for name in names):
            return f"{wanted} is there"
        if "next" not in told:
            break
        path = told["next"]
    return no(f"the vendor shows no image {wanted}")


def _disk(site: Site, get: Session) -> str:
    """The kind of disk is there; what was made of it says itself whether it is encrypted."""
    kinds = [kind["name"] for kind in get("block-storage", "/types")["volume_types"]]
    if site.disk not in kinds:
        no(f"the vendor has no kind of volume called {site.disk}: {', '.join(kinds)}")
    made = [v for v in get("block-storage", "/volumes/detail")["volumes"] if v.get("volume_type") == site.disk]
    if any(not volume.get("encrypted") for volume in made):
        no(f"volumes of kind {site.disk} say that they are not encrypted")
    seen = "and its volumes say that they are encrypted" if made else "whether it encrypts shows once a host is made"
    return f"{site.disk} is there, {seen}"


class Session:
    """GET from one of the project's services in the site's region: what it says."""

    def __init__(self, site: Site, credentials: Mapping[str, str], budget: Budget) -> None:
        from keystoneauth1.identity.v3 import ApplicationCredential
        from keystoneauth1.session import Session as Way
        from requests import Session as Plain

        key = ApplicationCredential(
            credentials["OS_AUTH_URL"],
            application_credential_id=credentials["OS_APPLICATION_CREDENTIAL_ID"],
            application_credential_secret=credentials["OS_APPLICATION_CREDENTIAL_SECRET"],
        )
        self._region, self._key = site.region, key
        self._session = Way(auth=key, session=budget.guard(Plain()), timeout=10, user_agent="resilience")

    def __call__(self, service: str, path: str) -> Any:
        """What one service says at this path."""
        where = {"service_type": service, "region_name": self._region, "interface": "public"}
        return self._session.get(path, endpoint_filter=where, headers={"Accept": "application/json"}).json()

    def roles(self) -> tuple[frozenset[str], bool | None]:
        """The token's roles, and whether its credential is a restricted one; None where it does not say."""
        from keystoneauth1.access import AccessInfoV3

        token = self._key.get_access(self._session)
        restricted = None
        if isinstance(token, AccessInfoV3) and token.application_credential_id:
            restricted = token.application_credential.get("restricted")
        return frozenset(token.role_names or ()), restricted

    def project(self) -> str:
        """The project that these credentials are for."""
        return str(self._session.get_project_id())
