"""Port Zone: a zone at a DNS vendor, through octoDNS as a library.

octoDNS refuses a plan that changes much of a zone. A failover may be just that, so its valve is
raised for one plan that changes the addresses of one name; any other change is refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, TypeVar

import dns.resolver

from resilience.adapters import dns_soa
from resilience.adapters.answers import closed
from resilience.adapters.budget import Budget
from resilience.adapters.delegation import soa_serial
from resilience.adapters.dns_vendors import DNS_VENDORS, counted
from resilience.errors import ResilienceError
from resilience.model import RecordSpec, ZoneSpec

KINDS = {4: "A", 6: "AAAA"}
REPLACED = frozenset({"A", "AAAA", "CNAME"})
"""What of a name may go when its addresses change."""
TOLD = frozenset({"A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT", "TLSA"})
"""What octoDNS compares; the SOA's timers are `dns_soa`'s, and the rest is a vendor's own."""

T = TypeVar("T")


class ZoneUnchanged(ResilienceError):
    """The name could not be read or moved at this vendor; its zone is as it was."""


@dataclass(frozen=True)
class OctoDnsZone:
    """The name's zone at one DNS vendor."""

    spec: ZoneSpec
    key: str = field(repr=False)
    resolver: dns.resolver.Resolver | None = None
    """Where name servers' own addresses are asked for; this machine's where there is none."""
    budget: Budget | None = None
    """What may be asked of this vendor; a failover moves the name whatever it takes."""

    def addresses(self, host: str) -> tuple[str, ...]:
        """What this vendor's server holds for `host` right now."""
        return self._try(f"read {host}", lambda: _addresses(self._read(host), host))

    def ttl_s(self, host: str) -> int | None:
        """The longest TTL of what this vendor's server holds for `host`."""
        return self._try(f"read {host}", lambda: _ttl(self._read(host), host))

    def point(self, host: str, addresses: tuple[str, ...], ttl_s: int) -> None:
        """Serve these addresses for `host`, and change nothing else; done already is no change."""
        self._try(f"move {host}", lambda: self._point(host, addresses, ttl_s))

    def drift(self, host: str, wanted: Sequence[RecordSpec]) -> tuple[str, ...]:
        """What this vendor holds beside what is wanted, in the form that both are compared in."""
        return self._try(f"read {host}", lambda: self._drift(host, wanted))

    def align(self, host: str, wanted: Sequence[RecordSpec]) -> None:
        """Add and change what is wanted; nothing is removed, and the host's own addresses stay."""
        self._try(f"align the zone of {host}", lambda: self._align(host, wanted))

    def serials(self, host: str) -> Mapping[str, int]:
        """Each declared name server is asked itself, as any resolver would."""
        zone = self._try(f"read {host}", lambda: self._read(host).name)
        return {server: soa_serial(zone, server, self.resolver) for server in self.spec.nameservers}

    def _drift(self, host: str, wanted: Sequence[RecordSpec]) -> tuple[str, ...]:
        provider = self._provider()
        zone = self._read(host, provider)
        held = {key(record): record.to_rrset() for record in zone.records if key(record)[1] in TOLD}
        meant = {key(record): record.to_rrset() for record in _records(zone, wanted)}
        lines = [
            f"{name} {kind} is {_said(held.get((name, kind)))}, declared {_said(rrset)}"
            for (name, kind), rrset in meant.items()
            if _said(held.get((name, kind))) != _said(rrset)
        ]
        own = {(f"{host}.", kind) for kind in REPLACED}
        more = sorted(set(held) - set(meant) - own - {(zone.name, "NS")}) if any(r.type != "NS" for r in wanted) else []
        authority = dns_soa.difference(self.spec.kind, provider, zone, wanted)
        return (*lines, *authority, *(f"{name} {kind} is served and not declared" for name, kind in more))

    def _align(self, host: str, wanted: Sequence[RecordSpec]) -> None:
        from octodns.zone import Zone

        provider = self._provider()
        current = self._read(host, provider)
        meant = _records(current, wanted)
        desired, replaced = Zone(current.name, []), {key(record) for record in meant}
        for record in (*(r for r in current.records if key(r) not in replaced), *meant):
            desired.add_record(record, lenient=True)
        plan = provider.plan(desired)
        for change in plan.changes if plan else ():
            if key(change.record) not in replaced:
                raise self._unchanged("align", f"the plan would also change {change.record!r}")
        if plan:
            provider.apply(plan)
        if any(record.type == "SOA" for record in wanted):
            fresh = self._provider()  # the serial was counted up
            dns_soa.align(self.spec.kind, fresh, self._read(host, fresh), wanted)

    def _point(self, host: str, addresses: tuple[str, ...], ttl_s: int) -> None:
        provider = self._provider()
        plan = provider.plan(_desired(self._read(host, provider), host, addresses, ttl_s))
        if plan is None:
            return
        for change in plan.changes:
            if change.record.fqdn != f"{host}." or change.record._type not in REPLACED:  # noqa: SLF001
                raise self._unchanged(f"move {host}", f"the plan would also change {change.record!r}")
        plan.raise_if_unsafe()
        provider.apply(plan)

    def _read(self, host: str, opened: Any = None) -> Any:
        """The zone that `host` is in, with all its records."""
        from octodns.zone import Zone

        provider = opened or self._provider()
        zones = [name for name in self._zones(provider) if f".{host}.".endswith(f".{name}")]
        if not zones:  # octoDNS would make one up, which nobody is delegated to
            why = f"{self.spec.vendor} serves no zone {self.spec.zone or f'that {host} is in'}"
            raise self._unchanged(f"find {host}", why)
        zone = Zone(max(zones, key=len), [])
        provider.populate(zone, target=True, lenient=True)
        return zone

    def _zones(self, provider: Any) -> list[str]:
        """What the vendor lists, of that the declared one; by RFC 2136 nothing is listed."""
        declared = f"{self.spec.zone}."
        if self.spec.kind == "rfc2136":
            return [declared]
        return [zone for zone in provider.list_zones() if not self.spec.zone or zone == declared]

    def _provider(self) -> Any:
        """OctoDNS's own provider; its valve is open, since `_point` checks each single change."""
        from octodns.record import Record

        Record.enable_validators({"legacy"})  # the set it falls back to, chosen without its warning
        vendor = DNS_VENDORS[self.spec.kind]
        opened = vendor.open(self.spec, self.key)
        return counted(opened, vendor, self.budget) if self.budget else opened

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


def key(record: Any) -> tuple[str, str]:
    """A record's full name and kind."""
    return str(record.fqdn), str(record._type)  # noqa: SLF001


def _records(zone: Any, wanted: Sequence[RecordSpec]) -> list[Any]:
    """What is wanted as octoDNS's own records in this zone; names outside it are another zone's matter."""
    from octodns.record import Record
    from octodns.record.rr import Rrset

    named = [(zone.name if spec.name == "@" else f"{spec.name}.", spec) for spec in wanted if spec.type != "SOA"]
    return [
        Record.from_rrset(zone, Rrset(name, spec.type, spec.ttl_s, list(spec.values)), lenient=True)
        for name, spec in named
        if name == zone.name or name.endswith(f".{zone.name}")
    ]


def _said(rrset: Any) -> str:
    """What a record holds, in one order; name servers' TTLs are each vendor's own."""
    if rrset is None:
        return "absent"
    if rrset._type == "NS":  # noqa: SLF001
        return ", ".join(sorted(str(rdata).lower().rstrip(".") for rdata in rrset.rdatas))
    return f"{', '.join(sorted(map(str, rrset.rdatas)))} ({rrset.ttl} s)"


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
