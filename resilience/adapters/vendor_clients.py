"""Vendors' own clients, opened politely: few attempts, short waits, and every request counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilience.adapters.budget import Budget
from resilience.ports import Vault


def aws_client(name: str, region: str, credentials: Mapping[str, str], endpoint: str | None, budget: Budget) -> Any:
    """One of AWS's services; boto3 waits between its two attempts."""
    import boto3
    from botocore.config import Config

    polite = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=3, read_timeout=10)
    keys = {name.lower(): value for name, value in credentials.items() if name.startswith("AWS_") and "KEY" in name}
    opened = boto3.client(name, region_name=region, endpoint_url=endpoint, config=polite, **keys)  # type: ignore[call-overload]
    return budget.watch(opened)


def paced(vault: Vault, budget: Budget) -> Vault:
    """The same vault, every request counted; a box of SFTP is asked over one connection and is not."""
    from resilience.adapters.gcs import GcsVault
    from resilience.adapters.s3 import S3Vault

    if isinstance(vault, S3Vault):
        budget.watch(vault.client)
    elif isinstance(vault, GcsVault):
        budget.guard(vault.session)
    return vault


def hetzner_client(credentials: Mapping[str, str], endpoint: str | None, budget: Budget) -> Any:
    """Hetzner Cloud; its library tries up to six times, and waits longer each time."""
    from hcloud import Client

    where = {"api_endpoint": endpoint} if endpoint else {}
    client = Client(credentials["HCLOUD_TOKEN"], timeout=5, **where)  # type: ignore[arg-type]
    budget.guard(client._client._session)  # noqa: SLF001 - the library has no other door
    return client
