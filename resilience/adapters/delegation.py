"""To whom a zone is delegated, as its parent's own name servers say: what a registrar's change looks like from outside."""

from __future__ import annotations

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver

from resilience.errors import ResilienceError

TIMEOUT_S = 3.0
KNOWN = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN})
"""What a server answers that has the parent zone; any other code says nothing of the delegation."""


def nameservers(host: str, resolver: dns.resolver.Resolver | None = None) -> tuple[str, ...]:
    """The name servers that the parent of the zone of `host` names, without their last dot, in order."""
    ask = resolver or dns.resolver.Resolver()
    try:
        zone, parent = _zone_and_parent(dns.name.from_text(host), ask)
        found = _referral(zone, parent, _addresses(ask, parent), ask.port)
    except (dns.exception.DNSException, OSError) as error:
        raise ResilienceError(
            f"To whom {host} is delegated is not known.",
            f"{type(error).__name__}: {error}",
            "See whether this machine reaches the parent zone's name servers.",
        ) from error
    return tuple(sorted(found))


def soa_serial(zone: str, server: str, resolver: dns.resolver.Resolver | None = None) -> int:
    """The serial that this name server itself serves for the zone, with authority."""
    ask, why = resolver or dns.resolver.Resolver(), "it does not answer with authority"
    try:
        query = dns.message.make_query(zone, "SOA")
        for address in (record.address for record in ask.resolve(f"{server}.", "A")):
            answer = dns.query.udp(query, address, timeout=TIMEOUT_S, port=ask.port)
            serials = [r.serial for records in answer.answer if records.rdtype == dns.rdatatype.SOA for r in records]
            if answer.flags & dns.flags.AA and serials:
                return int(serials[0])
    except (dns.exception.DNSException, OSError) as error:
        why = f"{type(error).__name__}: {error}"
    raise ResilienceError(
        f"{server} does not serve {zone.rstrip('.')}",
        why,
        "See whether that DNS vendor is alive, and its zone is there.",
    )


def _zone_and_parent(host: dns.name.Name, ask: dns.resolver.Resolver) -> tuple[dns.name.Name, dns.name.Name]:
    """The zone the host is in, and the one that leads to it, also where none of the zone's own servers answers any more."""
    try:
        zone = dns.resolver.zone_for_name(host, resolver=ask)
    except (dns.resolver.NoNameservers, dns.exception.Timeout):
        above = host.parent()
        try:
            return host, dns.resolver.zone_for_name(above, resolver=ask)
        except (dns.resolver.NoNameservers, dns.exception.Timeout):
            return _zone_and_parent(above, ask)
    return zone, dns.resolver.zone_for_name(zone.parent(), resolver=ask)


def _addresses(ask: dns.resolver.Resolver, zone: dns.name.Name) -> list[str]:
    servers = [record.target for record in ask.resolve(zone, "NS")]
    return [record.address for server in servers for record in ask.resolve(server, "A")]


def _referral(zone: dns.name.Name, parent: dns.name.Name, servers: list[str], port: int) -> set[str]:
    """What the first of these servers that knows the zone says of it, in its answer or as a referral."""
    query = dns.message.make_query(zone, "NS")
    failed: Exception = OSError("none of its servers has an address")
    for server in servers:
        try:
            answer, _ = dns.query.udp_with_fallback(query, server, timeout=TIMEOUT_S, port=port)
        except (dns.exception.DNSException, OSError) as error:
            failed = error
            continue
        named = _named(answer, zone, parent)
        if answer.rcode() in KNOWN and (named or answer.flags & dns.flags.AA):
            return named
        failed = OSError(f"{server} says nothing of {zone}: {dns.rcode.to_text(answer.rcode())}, without authority")
    raise failed


def _named(answer: dns.message.Message, zone: dns.name.Name, parent: dns.name.Name) -> set[str]:
    """The name servers of the zone, or of one between it and its parent; those of the parent and above are no referral."""
    return {
        str(record.target).rstrip(".").lower()
        for section in (answer.answer, answer.authority)
        for records in section
        if records.rdtype == dns.rdatatype.NS and zone.is_subdomain(records.name)
        if records.name.is_subdomain(parent) and records.name != parent
        for record in records
    }
