"""What a registry says of a domain, by RDAP (RFC 9083): one question over HTTPS, no key."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx

from resilience.errors import ResilienceError
from resilience.model import Registration

TIMEOUT_S = 5.0


def registration(url: str) -> Registration:
    """The domain object at this URL; raises where there is none to be had."""
    try:
        reply = httpx.get(
            url, timeout=TIMEOUT_S, follow_redirects=True, headers={"Accept": "application/rdap+json"}
        ).raise_for_status()
        told = reply.json()
        return Registration(
            domain=str(told["ldhName"]).lower().rstrip("."),
            statuses=tuple(sorted(str(status).lower() for status in told.get("status", ()))),
            expires_at=_expires(told),
            nameservers=tuple(sorted(str(ns["ldhName"]).lower().rstrip(".") for ns in told.get("nameservers", ()))),
        )
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResilienceError(
            "The registry does not tell how the domain stands.",
            f"{type(error).__name__}: {error}",
            f"Look at {url} yourself, and whether names.rdap in the fleet file is right.",
        ) from error


def _expires(told: dict[str, Any]) -> float | None:
    """When the registration ends; the registry's word, not the registrar's."""
    dates = [event["eventDate"] for event in told.get("events", ()) if event["eventAction"] == "expiration"]
    return datetime.fromisoformat(dates[0]).timestamp() if dates else None
