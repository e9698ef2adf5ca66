"""A zone's start of authority at each kind of vendor, which octoDNS leaves out.

Its timers (refresh, retry, expire, how long a "no such name" is kept) are declared once and kept alike. Its primary, its
mailbox and its serial stay each vendor's own: they name that vendor's servers, and count that vendor's changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
from dns.update import UpdateMessage

from resilience.errors import ResilienceError
from resilience.model import RecordSpec


@dataclass(frozen=True)
class Soa:
    """What a vendor serves: TTL, primary, mailbox and serial, then the timers."""

    ttl_s: int
    own: tuple[str, str, int]
    timers: tuple[int, ...]

    def __str__(self) -> str:
        """What is declared of it."""
        return f'{" ".join(map(str, self.timers))} ("no such name" is kept {self.negative_s} s)'

    @property
    def negative_s(self) -> int:
        """How long resolvers keep that there is no such name: the lesser of two (RFC 2308, 5)."""
        return min(self.ttl_s, self.timers[-1])

    @property
    def text(self) -> str:
        """As a zone file has it."""
        return " ".join(map(str, (*self.own, *self.timers)))

    def meant(self, wanted: RecordSpec) -> Soa:
        """The same with the declared timers and TTL."""
        return Soa(wanted.ttl_s, self.own, tuple(map(int, wanted.values[0].split())))


@dataclass(frozen=True)
class Door:
    """How one kind of vendor is asked and told, through octoDNS's provider for it."""

    read: Callable[[Any, Any], tuple[int, str]]
    """TTL and text, of octoDNS's zone."""
    write: Callable[[Any, Any, Soa, Soa], None]
    """What is held, and what is to be."""


def difference(kind: str, provider: Any, zone: Any, wanted: Sequence[RecordSpec]) -> tuple[str, ...]:
    """Where the SOA is not as declared, in one line; none where none is declared."""
    return tuple(f"{zone.name} SOA is {held}, declared {meant}" for held, meant in _pair(kind, provider, zone, wanted))


def align(kind: str, provider: Any, zone: Any, wanted: Sequence[RecordSpec]) -> None:
    """Serve the declared timers and TTL; alike already is no change."""
    for held, meant in _pair(kind, provider, zone, wanted):
        DOORS[kind].write(provider, zone, held, meant)


def _pair(kind: str, provider: Any, zone: Any, wanted: Sequence[RecordSpec]) -> list[tuple[Soa, Soa]]:
    """What is held and what is meant, where they differ."""
    declared = next((record for record in wanted if record.type == "SOA"), None)
    if declared is None:
        return []
    held = _held(kind, provider, zone)
    meant = held.meant(declared)
    return [] if (held.timers, held.negative_s) == (meant.timers, meant.negative_s) else [(held, meant)]


def _held(kind: str, provider: Any, zone: Any) -> Soa:
    try:
        ttl_s, text = DOORS[kind].read(provider, zone)
        primary, mailbox, serial, refresh, retry, expire, minimum = text.split()
        return Soa(ttl_s, (primary, mailbox, int(serial)), (int(refresh), int(retry), int(expire), int(minimum)))
    except (StopIteration, LookupError, TypeError, ValueError) as error:
        raise ResilienceError(
            f"The SOA of {zone.name} can't be read.",
            f"The vendor's answer has none of the usual form ({type(error).__name__}: {error}).",
            "Look at the zone where the vendor shows it.",
        ) from error


def _powerdns_read(provider: Any, zone: Any) -> tuple[int, str]:
    rrsets = provider._get(f"zones/{zone.name}").json()["rrsets"]  # noqa: SLF001 - octoDNS has no door for it
    return next((r["ttl"], r["records"][0]["content"]) for r in rrsets if r["type"] == "SOA")


def _powerdns_write(provider: Any, zone: Any, _: Soa, meant: Soa) -> None:
    records = [{"content": meant.text, "disabled": False}]
    rrset = {"name": zone.name, "type": "SOA", "ttl": meant.ttl_s, "changetype": "REPLACE", "records": records}
    provider._patch(f"zones/{zone.name}", {"rrsets": [rrset]})  # noqa: SLF001


def _rfc2136_read(provider: Any, zone: Any) -> tuple[int, str]:
    query = dns.message.make_query(zone.name, "SOA")
    answer = dns.query.tcp(query, provider.host, port=provider.port, timeout=provider.timeout)
    return next((r.ttl, str(r[0])) for r in answer.answer if r.rdtype == dns.rdatatype.SOA)


def _rfc2136_write(provider: Any, zone: Any, held: Soa, meant: Soa) -> None:
    """A SOA is taken only with a greater serial (RFC 2136, 3.4.2.2)."""
    primary, mailbox, serial = held.own
    update = UpdateMessage(zone.name, **provider._auth_params())  # noqa: SLF001
    update.replace(
        zone.name, meant.ttl_s, "SOA", Soa(meant.ttl_s, (primary, mailbox, (serial + 1) % 2**32), meant.timers).text
    )
    answer = dns.query.tcp(update, provider.host, port=provider.port, timeout=provider.timeout)
    if answer.rcode() != dns.rcode.NOERROR:
        raise ResilienceError(
            f"The name server took no new SOA for {zone.name}",
            f"It answered {dns.rcode.to_text(answer.rcode())}.",
            "See whether the TSIG key may change the zone's own records.",
        )


def _route53_read(provider: Any, zone: Any) -> tuple[int, str]:
    held = provider._load_records(provider._get_zone_id(zone.name))  # noqa: SLF001
    return next((r["TTL"], r["ResourceRecords"][0]["Value"]) for r in held if r["Type"] == "SOA")


def _route53_write(provider: Any, zone: Any, _: Soa, meant: Soa) -> None:
    rrset = {"Name": zone.name, "Type": "SOA", "TTL": meant.ttl_s, "ResourceRecords": [{"Value": meant.text}]}
    provider._conn.change_resource_record_sets(  # noqa: SLF001
        HostedZoneId=provider._get_zone_id(zone.name),  # noqa: SLF001
        ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": rrset}]},
    )


def _google_read(provider: Any, zone: Any) -> tuple[int, str]:
    held = provider.gcloud_zone_records(provider.gcloud_zones[zone.name])
    return next((r.ttl, r.rrdatas[0]) for r in held if r.record_type == "SOA")


def _google_write(provider: Any, zone: Any, held: Soa, meant: Soa) -> None:
    """Taken away and put back in one change, which is refused where somebody else changed it meanwhile."""
    place = provider.gcloud_zones[zone.name]
    change = place.changes()
    change.delete_record_set(place.resource_record_set(zone.name, "SOA", held.ttl_s, [held.text]))
    change.add_record_set(place.resource_record_set(zone.name, "SOA", meant.ttl_s, [meant.text]))
    change.create()


def _hetzner_read(provider: Any, zone: Any) -> tuple[int, str]:
    return next((r["ttl"], r["value"]) for r in provider.zone_records(zone) if r["type"] == "SOA")


def _hetzner_write(provider: Any, zone: Any, _: Soa, meant: Soa) -> None:
    number = provider.zone_metadata(zone_name=zone.name)["id"]
    provider._client.rrset_upsert(number, "@", "SOA", [meant.text], meant.ttl_s)  # noqa: SLF001


def _cloudflare_read(provider: Any, zone: Any) -> tuple[int, str]:
    told = provider._try_request("GET", f"/zones/{provider.zones[zone.name]['id']}/dns_settings")["result"]["soa"]  # noqa: SLF001
    timers = (told["refresh"], told["retry"], told["expire"], told["min_ttl"])
    return int(told["ttl"]), " ".join(str(word) for word in (told["mname"], told["rname"], 0, *map(int, timers)))


def _cloudflare_write(provider: Any, zone: Any, _: Soa, meant: Soa) -> None:
    refresh, retry, expire, minimum = meant.timers
    told = {"refresh": refresh, "retry": retry, "expire": expire, "min_ttl": minimum, "ttl": meant.ttl_s}
    where = f"/zones/{provider.zones[zone.name]['id']}/dns_settings"
    provider._try_request("PATCH", where, data={"soa": told})  # noqa: SLF001


DOORS: Mapping[str, Door] = {
    "powerdns": Door(_powerdns_read, _powerdns_write),
    "rfc2136": Door(_rfc2136_read, _rfc2136_write),
    "route53": Door(_route53_read, _route53_write),
    "google": Door(_google_read, _google_write),
    "hetzner": Door(_hetzner_read, _hetzner_write),
    "cloudflare": Door(_cloudflare_read, _cloudflare_write),
}
"""By the kind that `fleet.toml` names."""
