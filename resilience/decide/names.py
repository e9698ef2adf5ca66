"""What was seen of the name's zones and its registration, as findings: drift, silence, holds, locks, expiry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from resilience.model import Fleet, Names, RecordSpec, Registration, Survey, Unknown
from resilience.model.finding import Finding

DAY = 86_400.0
SOON_S, VERY_SOON_S = 60 * DAY, 14 * DAY
HOLDS = ("client hold", "server hold", "inactive", "redemption period", "pending delete")
"""With one of these the name is out of its parent's zone, or is about to be."""
LOCKS = ("client transfer prohibited", "server transfer prohibited")
NS_TTL_S = 3600


def wanted(names: Names, vendor: str) -> tuple[RecordSpec, ...]:
    """What this DNS vendor should serve: the declared records, and all vendors' name servers where all are known.

    A spare zone names its own servers alone: the day it is delegated to, the others are gone.
    """
    own = [zone for zone in names.zones if zone.spare and zone.vendor == vendor]
    meant = own or [zone for zone in names.zones if not zone.spare]
    servers = sorted({server for zone in meant for server in zone.nameservers})
    known = bool(meant) and all(zone.nameservers for zone in meant)
    apex = (RecordSpec("@", "NS", NS_TTL_S, tuple(f"{server}." for server in servers)),) if known else ()
    return (*apex, *names.records)


def zones_alike(fleet: Fleet, survey: Survey) -> Iterator[Finding]:
    """Each vendor's zone against the declaration, and its name servers as anybody may ask them."""
    for vendor, zone in survey.zones.items():
        if not isinstance(zone.drift, Unknown) and zone.drift:
            said = f"its zone is not as declared: {'; '.join(zone.drift)}"
            yield Finding("zone", vendor, "warn", said, "Run `resilience names --apply`; it says what it changes.")
        elif (
            isinstance(zone.drift, Unknown) and wanted(fleet.names, vendor) and not isinstance(zone.addresses, Unknown)
        ):
            yield Finding("zone", vendor, "unknown", f"its records: {zone.drift.why}", "Run the check again.")
        elif not isinstance(zone.drift, Unknown):
            yield Finding("zone", vendor, "pass", "its zone is as declared")
        if isinstance(zone.serials, Unknown):
            if not isinstance(zone.addresses, Unknown) and not fleet.lab:
                told = "Declare its nameservers, or see whether they answer on port 53."
                yield Finding("zone", vendor, "unknown", f"its name servers: {zone.serials.why}", told)
        elif len(set(zone.serials.values())) > 1:
            told = ", ".join(f"{server} {serial}" for server, serial in zone.serials.items())
            yield Finding("zone", vendor, "warn", f"its name servers serve different zones: {told}", "Wait, ask again.")
        else:
            yield Finding("zone", vendor, "pass", f"{', '.join(zone.serials)} answer for the zone")


def registered(fleet: Fleet, survey: Survey) -> Iterator[Finding]:
    """How the domain stands with its registry: nothing that no vendor of ours could mend."""
    seen, host = survey.registration, fleet.names.host
    if isinstance(seen, Unknown):
        if fleet.lab and not fleet.names.rdap:
            return
        yield Finding("registrar", host, "unknown", seen.why, "Declare names.rdap; docs/names.md says how to find it.")
        return
    if held := [status for status in seen.statuses if status in HOLDS]:
        said = f"the domain is on hold: {', '.join(held)}"
        yield Finding(
            "registrar", seen.domain, "fail", said, "Ask the registrar (client) or the registry (server) now."
        )
    if not any(status in LOCKS for status in seen.statuses):
        yield Finding(
            "registrar", seen.domain, "warn", "it is not locked against a transfer", "Lock it at the registrar."
        )
    yield from _expiry(seen, survey.at)
    yield from _delegated(fleet.names, seen)
    if not held:
        yield Finding("registrar", seen.domain, "pass", f"no hold; {', '.join(seen.statuses) or 'no status'}")


def _expiry(seen: Registration, now: float) -> Iterator[Finding]:
    if seen.expires_at is None:
        yield Finding("registrar", seen.domain, "unknown", "when it expires is not told", "Look at the registrar.")
        return
    left, day = seen.expires_at - now, datetime.fromtimestamp(seen.expires_at, UTC).date()
    if left < SOON_S:
        grade, said = ("fail" if left < VERY_SOON_S else "warn"), f"it expires on {day}"
        yield Finding("registrar", seen.domain, grade, said, "Renew it, for years, with a card that works.")  # type: ignore[arg-type]
    else:
        yield Finding("registrar", seen.domain, "pass", f"it expires on {day}")


def _delegated(names: Names, seen: Registration) -> Iterator[Finding]:
    declared = {server for zone in names.zones if not zone.spare for server in zone.nameservers}
    if declared and declared != set(seen.nameservers):
        said = f"delegated to {', '.join(seen.nameservers) or 'nobody'}, declared are {', '.join(sorted(declared))}"
        yield Finding("registrar", seen.domain, "warn", said, f"Change it at {names.registrar or 'the registrar'}.")
