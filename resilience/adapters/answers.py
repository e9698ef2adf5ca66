"""What vendors answer about an account: codes that mean it is closed, and where clients keep them; and what no vendor would answer. Standard library only."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from resilience.errors import VendorClosed

CLOSED = frozenset(
    {
        "Blocked",  # AWS EC2
        "BlockedException",  # AWS ECS
        "AccountProblem",  # AWS S3
        "AllAccessDisabled",  # AWS S3
        "AccountSuspendedException",  # AWS SES
        "UserSuspended",  # Ceph RGW, and whoever runs it
        "CONSUMER_SUSPENDED",  # Google APIs
        "GCP_SUSPENDED",  # Google APIs
        "AccountIsDisabled",  # Azure Storage
        "ReadOnlyDisabledSubscription",  # Azure Resource Manager
        "resource_locked",  # Hetzner Cloud: "the caller should contact support"; `locked` is another thing
    }
)
"""Codes that mean: this account was suspended, blocked or closed."""

BILLING = frozenset({"BILLING_DISABLED", "accountDisabled", "UserProjectAccountProblem", "ResourceExpiredError"})
"""Codes that mean: a bill is open."""

WORDS = re.compile(r"[\w.]+", re.ASCII)


class OddAnswer(Exception):
    """A store's answer that means neither yes nor no: whatever stands in its place said it."""


class TooLarge(OddAnswer):
    """More than anything of that name can be."""


def codes_in(body: str) -> Iterator[str]:
    """Every code, reason or state in an answer, in JSON or XML; HTML has none."""
    try:
        yield from _codes(json.loads(body))
    except ValueError:
        yield from re.findall(r"<Code>([^<]+)</Code>", body)


def _codes(value: object) -> Iterator[str]:
    """The values of keys that name a code, at any depth."""
    if isinstance(value, list):
        for item in value:
            yield from _codes(item)
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, str) and key in {"code", "reason", "state", "status"}:
                yield item
            yield from _codes(item)


def codes_of(error: Exception) -> Iterator[str]:
    """Every code that a vendor's own client keeps in its error: boto3, Google's, hcloud, or requests underneath."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        told = response.get("Error")
        yield str(told.get("Code", "") if isinstance(told, dict) else "")
    elif hasattr(response, "text"):
        yield from codes_in(str(response.text))
    if isinstance(code := getattr(error, "code", None), str):
        yield code


def closed(vendor: str, error: Exception) -> VendorClosed | None:
    """The error for an account that is closed, where a vendor's client says so; None for every other trouble."""
    found = next((code for code in codes_of(error) if code in CLOSED), None)
    return None if found is None else VendorClosed(vendor, found)


def closed_in(text: str) -> str | None:
    """The code of a closed account in what an engine printed, as a word of its own; None where there is none."""
    return next((word for word in WORDS.findall(text) if word in CLOSED), None)
