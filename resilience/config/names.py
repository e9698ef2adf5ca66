"""What the public name means: served somewhere, by vendors that can hold its TTL, each reached where it answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from resilience.config.lines import Loc
from resilience.config.schema import FleetFile, ZoneTable
from resilience.config.sites import Finding

HOST = re.compile(r"^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$")
TIMERS = re.compile(r"^\d{1,9}( \d{1,9}){3}$")
"""What of a SOA is alike at all vendors."""
REACHED: Mapping[str, tuple[str, str]] = {
    "powerdns": (r"https?://[^/\s]+", "https://dns.example.net"),
    "rfc2136": (r"dns://[^/\s]+", "dns://192.0.2.53:53"),
}
"""Kinds that are reached where the operator says, and how that is written."""
UNLISTED = frozenset({"rfc2136"})
"""Kinds that octoDNS can't ask for their zones."""
SHORTEST_TTL: Mapping[str, int] = {"cloudflare": 60, "hetzner": 60}
"""Seconds below which a vendor serves another TTL than was asked for."""


def name_findings(f: FleetFile) -> Iterator[Finding]:
    """What is wrong with the name and its zones."""
    if not HOST.match(f.names.host):
        hint = "Write a host name such as plaza.example."
        yield ("names", "host"), f'"{f.names.host}" is not a host name', hint
    if not f.names.zone:
        hint = "Declare [[names.zone]] at two vendors or more."
        yield ("names", "zone"), "the name is served nowhere", hint
    yield from _twice(f)
    for i, record in enumerate(f.names.record):
        if record.name == f.names.host and record.type in {"A", "AAAA", "CNAME"}:
            hint = "Leave it out: `up` and failovers set the addresses of the host itself."
            yield ("names", "record", i, "name"), "a plan would move it, and this would move it back", hint
        if record.type == "SOA" and (
            record.name != "@" or len(record.values) != 1 or not TIMERS.match(record.values[0])
        ):
            hint = 'Write name = "@" and values = ["7200 900 1209600 300"]: refresh, retry, expire, and how long a "no such name" is kept.'
            yield ("names", "record", i, "values"), "of a SOA the timers alone can be declared", hint
    if sum(record.type == "SOA" for record in f.names.record) > 1:
        yield ("names", "record"), "the SOA is declared twice", "A zone has one: leave the other out."
    seen = [authority.directory for authority in f.names.authority]
    for i, directory in enumerate(seen):
        if directory in seen[:i]:
            hint = "A second authority is one at another company; declare that, or leave this one out."
            yield ("names", "authority", i, "directory"), "this authority is declared twice", hint
    for i, zone in enumerate(f.names.zone):
        yield from _zone(("names", "zone", i), zone, f)


def _twice(f: FleetFile) -> Iterator[Finding]:
    seen = Counter(zone.vendor for zone in f.names.zone)
    for i, zone in enumerate(f.names.zone):
        if seen[zone.vendor] > 1:
            hint = "Two zones at one vendor are lost together: name another vendor."
            yield ("names", "zone", i, "vendor"), f'"{zone.vendor}" has two zones', hint
            return


def _zone(loc: Loc, zone: ZoneTable, f: FleetFile) -> Iterator[Finding]:
    pattern, example = REACHED.get(zone.kind, (r"(https?://[^/\s]+.*)?", "https://api.example.net"))
    if not re.fullmatch(f"{pattern}.*", zone.endpoint):
        why = f'"{zone.endpoint}" is not where a zone of kind {zone.kind} is reached'
        yield (*loc, "endpoint"), why, f"Write it like {example}."
    if zone.kind in UNLISTED and not zone.zone:
        hint = f'Add zone = "{f.names.host}", or the zone it is in.'
        yield (*loc, "zone"), f"zones of kind {zone.kind} can't be listed", hint
    if zone.zone and not f".{f.names.host}".endswith(f".{zone.zone}"):
        yield (*loc, "zone"), f"{f.names.host} is not in {zone.zone}", "Name the zone that the host is in."
    least = SHORTEST_TTL.get(zone.kind, 1)
    if f.names.ttl_s < least:
        why = f"{zone.kind} serves no TTL below {least} s, and {f.names.ttl_s} s is declared"
        yield ("names", "ttl_s"), why, f"Write ttl_s = {least}, or serve the name elsewhere."
