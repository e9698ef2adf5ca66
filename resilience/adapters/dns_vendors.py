"""octoDNS's provider for each kind of DNS vendor: how it is opened with what the kit holds, and how it fails.

A key is the text of `dns/VENDOR.txt` in the kit: a token, or one NAME=value a line, or Google's JSON of a service account.
Each valve is open (`WIDE`), because the adapter checks every single change itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any
from urllib.parse import urlsplit

from requests import Session

from resilience.adapters.budget import Budget
from resilience.adapters.credentials import parse
from resilience.adapters.google_credentials import quiet
from resilience.errors import MissingPart
from resilience.model import ZoneSpec

TIMEOUT_S = 3
WIDE = {"update_pcent_threshold": 1.0, "delete_pcent_threshold": 1.0}
Failures = tuple[type[Exception], ...]


@dataclass(frozen=True)
class DnsVendor:
    """One kind of DNS vendor."""

    open: Callable[[ZoneSpec, str], Any]
    """octoDNS's provider, from where the zone is and the key."""
    failures: Callable[[], Failures]
    """What its libraries raise when the vendor refuses or does not answer, besides octoDNS's own."""
    way: str = "_sess"
    """Where in the provider its session of requests is, or its client of boto3; the libraries show neither."""


def counted(provider: Any, vendor: DnsVendor, budget: Budget) -> Any:
    """The same provider, every request counted; the operator's own server by RFC 2136 has no budget."""
    if vendor.way:
        within = attrgetter(vendor.way)(provider)
        (budget.guard if isinstance(within, Session) else budget.watch)(within)
    return provider


def needed(spec: ZoneSpec, key: str, *names: str) -> list[str]:
    """These values of a key of NAME=value lines; MissingPart where one is not there."""
    found = parse(key)
    if lacking := [name for name in names if not found.get(name)]:
        raise MissingPart(
            f"The kit lacks {', '.join(lacking)} in dns/{spec.vendor}.txt.",
            f"A zone of kind {spec.kind} is read and moved with them.",
            "Write one NAME=value a line; docs/names.md says how to get them and with which rights.",
        )
    return [found[name] for name in names]


def _powerdns(spec: ZoneSpec, key: str) -> Any:
    from octodns_powerdns import PowerDnsProvider

    at = urlsplit(spec.endpoint)
    port = at.port or (443 if at.scheme == "https" else 80)
    where = {"port": port, "scheme": at.scheme, "timeout": TIMEOUT_S}
    return PowerDnsProvider(spec.vendor, at.hostname, key, **where, enable_dynamic=False, **WIDE)


def _rfc2136(spec: ZoneSpec, key: str) -> Any:
    from octodns_bind import Rfc2136Provider

    at = urlsplit(spec.endpoint)
    name, algorithm, secret = needed(spec, key, "TSIG_NAME", "TSIG_ALGORITHM", "TSIG_SECRET")
    tsig = {"key_name": name, "key_secret": secret, "key_algorithm": algorithm}
    return Rfc2136Provider(spec.vendor, at.hostname, port=at.port or 53, timeout=TIMEOUT_S, **tsig, **WIDE)


def _route53(spec: ZoneSpec, key: str) -> Any:
    from octodns_route53 import Route53Provider

    class Plain(Route53Provider):  # type: ignore[misc]
        """Without health checks of the vendor's own: a name that moved by itself would pass the epoch by."""

        health_checks: Mapping[str, Any] = {}

    access, secret = needed(spec, key, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return Plain(spec.vendor, access, secret, client_max_attempts=2, **WIDE)


def _cloudflare(spec: ZoneSpec, key: str) -> Any:
    from octodns_cloudflare import CloudflareProvider

    where = {"api_url": spec.endpoint} if spec.endpoint else {}
    polite = {"retry_count": 1, "retry_period": TIMEOUT_S, "timeout": TIMEOUT_S}
    return CloudflareProvider(spec.vendor, token=key, pagerules=False, min_ttl=60, **polite, **where, **WIDE)


def _hetzner(spec: ZoneSpec, key: str) -> Any:
    from resilience.adapters.hetzner_zones import provider

    return provider(spec, key, TIMEOUT_S, WIDE)


def _google(spec: ZoneSpec, key: str) -> Any:
    from octodns_googlecloud import GoogleCloudProvider

    class Watched(GoogleCloudProvider):  # type: ignore[misc]
        """Lists its zones, and asks after a change each second: its own five are more than a failover waits for a name."""

        CHANGE_LOOP_WAIT = 1

        def list_zones(self) -> list[str]:
            return sorted(self.gcloud_zones)

    project = json.loads(key)["project_id"]
    memory = os.memfd_create("service-account")  # the library reads a file; the key is in none
    try:
        os.write(memory, key.encode())
        opened = Watched(spec.vendor, project, credentials_file=f"/proc/self/fd/{memory}", **WIDE)
    finally:
        os.close(memory)
    connection = opened.gcloud_client._connection  # noqa: SLF001 - octoDNS passes none of its options on
    quiet(opened.gcloud_client._credentials)  # noqa: SLF001 - likewise
    connection.api_request = partial(connection.api_request, timeout=TIMEOUT_S)
    connection.API_BASE_URL = spec.endpoint or connection.API_BASE_URL
    return opened


def _none() -> Failures:
    return ()


def _dns_failures() -> Failures:
    from dns.exception import DNSException
    from octodns_bind import AxfrSourceException, Rfc2136ProviderException

    return (DNSException, AxfrSourceException, Rfc2136ProviderException, OSError)


def _aws_failures() -> Failures:
    from botocore.exceptions import BotoCoreError, ClientError

    return (BotoCoreError, ClientError)


def _hetzner_failures() -> Failures:
    from hcloud import HCloudException

    return (HCloudException,)


def _google_failures() -> Failures:
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    return (GoogleAPIError, GoogleAuthError, RuntimeError)  # the last: a change that stays pending


DNS_VENDORS: Mapping[str, DnsVendor] = {
    "powerdns": DnsVendor(_powerdns, _none),
    "rfc2136": DnsVendor(_rfc2136, _dns_failures, ""),
    "route53": DnsVendor(_route53, _aws_failures, "_conn"),
    "cloudflare": DnsVendor(_cloudflare, _none),
    "hetzner": DnsVendor(_hetzner, _hetzner_failures, "_client._hcloud._client._session"),
    "google": DnsVendor(_google, _google_failures, "gcloud_client._http"),
}
"""By the kind that `fleet.toml` names."""
