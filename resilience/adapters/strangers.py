"""Hosts that carry a site's marks at its vendor, and that no state knows: what a run left that was killed while it made one.

Nothing is removed: where the state is an old one, such a host may be the site itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from resilience.adapters import google_preflight, openstack_preflight
from resilience.adapters.asking import troubles
from resilience.adapters.budget import Budget, budgets
from resilience.adapters.vendor_clients import aws_client, hetzner_client
from resilience.errors import ResilienceError
from resilience.model import Site

Find = Callable[[Site, str, Mapping[str, str], str | None, Budget], Iterable[str]]


def strangers(
    site: Site, fleet: str, credentials: Mapping[str, str], known: frozenset[str], endpoint: str | None = None
) -> tuple[str, ...]:
    """The vendor's names for them; raises where the vendor can't be asked, since then nobody knows."""
    try:
        found = FIND[site.stack](site, fleet, credentials, endpoint, budgets("up")(site.vendor))
        return tuple(sorted(name for name in found if name not in known))
    except troubles() as error:
        raise ResilienceError(
            f"{site.name}: an earlier run was ended while {site.vendor} made something, and what it made is not known.",
            f"The vendor could not be asked: {error}",
            f"See what it shows of fleet {fleet}, site {site.name}; then run the same command again.",
        ) from error


def _aws(site: Site, fleet: str, credentials: Mapping[str, str], endpoint: str | None, budget: Budget) -> Iterable[str]:
    ec2 = aws_client("ec2", site.region, credentials, endpoint, budget)
    living = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}
    marks = [{"Name": f"tag:{name}", "Values": [value]} for name, value in (("fleet", fleet), ("site", site.name))]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=[living, *marks])
    return [i["InstanceId"] for page in pages for r in page["Reservations"] for i in r["Instances"]]


def _google(
    site: Site, fleet: str, credentials: Mapping[str, str], endpoint: str | None, budget: Budget
) -> Iterable[str]:
    get = google_preflight.session(credentials, budget)
    where = f"{endpoint or google_preflight.COMPUTE}/compute/v1/projects/{credentials['GOOGLE_PROJECT']}"
    path = f"/zones/{site.zone}/instances?filter=(labels.fleet={fleet})(labels.site={site.name})"
    found = (get(f"{where}{path}") or {}).get("items", ())
    return [f"projects/{credentials['GOOGLE_PROJECT']}/zones/{site.zone}/instances/{one['name']}" for one in found]


def _hetzner(
    site: Site, fleet: str, credentials: Mapping[str, str], endpoint: str | None, budget: Budget
) -> Iterable[str]:
    client = hetzner_client(credentials, endpoint, budget)
    return [str(one.id) for one in client.servers.get_all(label_selector=f"fleet={fleet},site={site.name}")]


def _openstack(
    site: Site, fleet: str, credentials: Mapping[str, str], endpoint: str | None, budget: Budget
) -> Iterable[str]:
    found = openstack_preflight.Session(site, credentials, budget)("compute", "/servers/detail")["servers"]
    marks = {"fleet": fleet, "site": site.name}
    return [one["id"] for one in found if marks.items() <= one.get("metadata", {}).items()]


FIND: Mapping[str, Find] = {"aws": _aws, "gcp": _google, "hetzner": _hetzner, "openstack": _openstack}
