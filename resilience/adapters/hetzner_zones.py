"""octoDNS's provider for Hetzner's zones, made honest.

Its adapter takes a list that was refused for an empty zone, waits for no action, and knows no time limit.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from hcloud import Client
from hcloud.zones import BoundZone, BoundZoneRRSet, ZonesClient
from octodns_hetzner import HetznerProvider
from octodns_hetzner.hcloud_adapter import HCloudZonesClient

from resilience.model import ZoneSpec

POLL_S = 0.5
API = "https://api.hetzner.cloud/v1"


def provider(spec: ZoneSpec, token: str, timeout_s: float, options: Mapping[str, Any]) -> Any:
    """The provider for this zone."""

    class Provider(HetznerProvider):  # type: ignore[misc]
        def _create_client(self, backend: str, token: str) -> Any:
            return _Zones(token, spec.endpoint or API, timeout_s)

    made = Provider(spec.vendor, token, backend="hcloud", **options)
    made.log.setLevel(logging.ERROR)  # it warns of each zone's SOA
    return made


class _Zones(HCloudZonesClient):  # type: ignore[misc]
    """The adapter, whose errors are errors."""

    def __init__(self, token: str, endpoint: str, timeout_s: float) -> None:
        super().__init__(token)
        self._hcloud = Client(token, endpoint, timeout=timeout_s, poll_interval=POLL_S, poll_max_retries=20)
        self._hcloud._client._retry_max_retries = 1  # noqa: SLF001 - no option for it; five take half a minute
        self._zones = _Done(self._hcloud)

    def _get_zone_by_id_or_name(self, zone_id_or_name: Any) -> BoundZone:
        return self._zones.get(zone_id_or_name)

    def _get_rrsets(self, zone: BoundZone) -> list[BoundZoneRRSet]:
        return zone.get_rrset_all()


class _Done(ZonesClient):
    """Zones whose changes are made once a call returns; a change that fails after it was taken raises."""

    def create_rrset(self, *args: Any, **options: Any) -> Any:
        """Likewise."""
        made = super().create_rrset(*args, **options)
        made.action.wait_until_finished()
        return made

    def set_rrset_records(self, *args: Any, **options: Any) -> Any:
        """Likewise."""
        return _finished(super().set_rrset_records(*args, **options))

    def change_rrset_ttl(self, *args: Any, **options: Any) -> Any:
        """Likewise."""
        return _finished(super().change_rrset_ttl(*args, **options))

    def delete_rrset(self, *args: Any, **options: Any) -> Any:
        """Likewise."""
        made = super().delete_rrset(*args, **options)
        made.action.wait_until_finished()
        return made


def _finished(action: Any) -> Any:
    action.wait_until_finished()
    return action
