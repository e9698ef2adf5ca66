"""Port Zone: a zone at a DNS vendor, through octoDNS as a library.

octoDNS refuses a plan that changes much of a zone. A failover may be just that, so its valve is
raised for one plan that changes the addresses of one name; any other change is refused here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, TypeVar

from resilience.adapters.answers import closed
from resilience.adapters.dns_vendors import DNS_VENDORS
from resilience.errors import ResilienceError
from resilience.model import ZoneSpec

KINDS = {4: "A", 6: "AAAA"}
REPLACED = frozenset({"A", "AAAA", "CNAME"})
"""What of a name may go when its addresses change."""

T = TypeVar("T")


class ZoneUnchanged(ResilienceError):
    """The name could not be read or moved at this vendor; its zone is as it was."""


@dataclass(frozen=True)
class OctoDnsZone:
    """The name's zone at one DNS vendor."""

    spec: ZoneSpec
    key: str = field(repr=False)

    def addresses(self, host: str) -> tuple[str, ...]:
        """What this vendor's server holds for `host` right now."""
        return self._try(f"read {host}", lambda: _addresses(self._read(host), host))

    def ttl_s(self, host: str) -> int | None:
        """The longest TTL of what this vendor's server holds for `host`."""
        return self._try(f"read {host}", lambda: _ttl(self._read(host), host))

    def point(self, host: str, addresses: tuple[str, ...], ttl_s: int) -> None:
        """Serve these addresses for `host`, and change nothing else; done already is no change."""
        self._try(f"move {host}", lambda: self._point(host, addresses, ttl_s))

    def _point(self, host: str, addresses: tuple[str, ...], ttl_s: int) -> None:
        current = self._read(host)
        plan = self._provider().plan(_desired(current, host, addresses, ttl_s))
        if plan is None:
            return
        for change in plan.changes:
            if change.record.fqdn != f"{host}." or change.record._type not in REPLACED:  # noqa: SLF001
                raise self._unchanged(f"move {host}", f"the plan would also change {change.record!r}")
        plan.raise_if_unsafe()
        self._provider().apply(plan)

    def _read(self, host: str) -> Any:
        """The zone that `host` is in, with all its records."""
        from octodns.zone import Zone

        provider = self._provider()
        zones = [name for name in self._zones(provider) if f".{host}.".endswith(f".{name}")]
        if not zones:
            why = f"{self.spec.vendor} serves no zone that {host} is in"
            raise self._unchanged(f"find {host}", why)
        zone = Zone(max(zones, key=len), [])
        provider.populate(zone, target=True, lenient=True)
        return zone

    def _zones(self, provider: Any) -> list[str]:
        """The declared zone, or all that the vendor lists."""
        return [f"{self.spec.zone}."] if self.spec.zone else list(provider.list_zones())

    def _provider(self) -> Any:
        """OctoDNS's own provider; its valve is open, since `_point` checks each single change."""
        from octodns.record import Record

        Record.enable_validators({"legacy"})  # the set it falls back to, chosen without its warning
        return DNS_VENDORS[self.spec.kind].open(self.spec, self.key)

    def _refused(self, doing: str, error: Exception) -> ResilienceError:
        """A closed account by its own name; every other trouble leaves the zone as it was."""
        return closed(self.spec.vendor, error) or self._unchanged(doing, _why(error))

    def _try(self, doing: str, action: Callable[[], T]) -> T:
        """Do it; the vendor's failures become errors in our words."""
        from octodns.provider import ProviderException
        from octodns.provider.plan import UnsafePlan
        from octodns.zone.exception import ZoneException
        from requests import RequestException

        try:
            return action()
        except (RequestException, UnsafePlan, ProviderException, ZoneException) as error:
            raise self._refused(doing, error) from error
        except DNS_VENDORS[self.spec.kind].failures() as error:
            raise self._refused(doing, error) from error
        except Exception as error:
            if type(error) is Exception and "unauthorized" in str(error):  # the provider raises it bare
                raise self._unchanged(doing, "the API key is refused") from error
            raise

    def _unchanged(self, doing: str, why: str) -> ZoneUnchanged:
        return ZoneUnchanged(
            f"{self.spec.vendor}: could not {doing}",
            why,
            "See whether this vendor is alive and its key in the kit is right; the other DNS vendors serve on.",
        )


def _addresses(zone: Any, host: str) -> tuple[str, ...]:
    """All addresses of a name in a zone."""
    found = [r for r in zone.records if r.fqdn == f"{host}." and r._type in KINDS.values()]  # noqa: SLF001
    return tuple(sorted(value for record in found for value in record.values))


def _ttl(zone: Any, host: str) -> int | None:
    """The longest TTL of a name's addresses in a zone."""
    found = [int(r.ttl) for r in zone.records if r.fqdn == f"{host}." and r._type in KINDS.values()]  # noqa: SLF001
    return max(found, default=None)


def _desired(current: Any, host: str, addresses: tuple[str, ...], ttl_s: int) -> Any:
    """The zone as it is, but with these addresses for `host` and nothing that would point elsewhere."""
    from octodns.record import Record
    from octodns.zone import Zone

    desired = Zone(current.name, [])
    for record in current.records:
        if record.fqdn != f"{host}." or record._type not in REPLACED:  # noqa: SLF001
            desired.add_record(record, lenient=True)
    name = desired.hostname_from_fqdn(f"{host}.")
    for version, kind in KINDS.items():
        values = [address for address in addresses if ip_address(address).version == version]
        if values:
            data = {"type": kind, "ttl": ttl_s, "values": values}
            desired.add_record(Record.new(desired, name, data), lenient=True)
    return desired


def _why(error: Exception) -> str:
    """A failure's cause: what the vendor answered, or why there was no answer."""
    response: Any = getattr(error, "response", None)
    if hasattr(response, "status_code"):
        return f"HTTP {response.status_code}: {response.text[:200]}"
    return f"{type(error).__name__}: {error}"
