"""The meaning of `fleet.toml`: names that point nowhere, vaults at the primary's vendor, quorums that do not intersect."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from resilience.config.lines import Loc
from resilience.config.names import name_findings
from resilience.config.schema import FleetFile, SiteTable, VaultTable, VendorTable
from resilience.config.sites import Finding, address_findings, site_findings

APPS = ("plaza",)
BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")
"""What some store takes: most want 3 to 63 small letters, old ones took more."""


def findings(f: FleetFile) -> Iterator[Finding]:
    """What is wrong with a file whose shape is right, most telling first."""
    yield from _duplicates(f)
    yield from _references(f)
    yield from site_findings(f)
    yield from _buckets(f)
    yield from _quorums(f)
    yield from name_findings(f)
    if f.fleet.app not in APPS:
        yield ("fleet", "app"), f'no app is called "{f.fleet.app}"', f"Known: {', '.join(APPS)}."


def _duplicates(f: FleetFile) -> Iterator[Finding]:
    groups: dict[str, Sequence[VendorTable | SiteTable | VaultTable]] = {
        "vendor": f.vendor,
        "site": f.site,
        "vault": f.vault,
    }
    for table, things in groups.items():
        seen: set[str] = set()
        for i, thing in enumerate(things):
            if thing.name in seen:
                why = f'"{thing.name}" names two {table}s'
                yield (table, i, "name"), why, "Names are unique within a table: rename one."
            seen.add(thing.name)


def _references(f: FleetFile) -> Iterator[Finding]:
    vendors = [v.name for v in f.vendor]

    def check(loc: Loc, vendor: str) -> Iterator[Finding]:
        if vendor not in vendors:
            close = difflib.get_close_matches(vendor, vendors, n=1)
            hint = f'Did you mean "{close[0]}"?' if close else f"Declared: {', '.join(vendors)}."
            yield loc, f'no vendor is called "{vendor}"', hint

    for i, site in enumerate(f.site):
        yield from check(("site", i, "vendor"), site.vendor)
        yield from address_findings(("site", i, "addresses"), site.addresses)
    for i, vault in enumerate(f.vault):
        yield from check(("vault", i, "vendor"), vault.vendor)
        yield from _url(("vault", i, "endpoint"), vault.endpoint, "sftp" if vault.kind == "sftp" else "https?")
    for i, zone in enumerate(f.names.zone):
        yield from check(("names", "zone", i, "vendor"), zone.vendor)
        if zone.spare and not zone.nameservers:
            hint = "Declare its nameservers: a person enters them at the registrar on the day."
            yield ("names", "zone", i, "spare"), "nobody could be led to a spare zone that names no servers", hint
    if f.names.zone and all(zone.spare for zone in f.names.zone):
        hint = "Leave `spare` out where the registrar leads to."
        yield ("names", "zone", 0, "spare"), "every zone is a spare one: nobody would be led to the name", hint
    for i, vendor in enumerate(f.vendor):
        for companion in vendor.companions:
            yield from check(("vendor", i, "companions"), companion)
        yield from address_findings(("vendor", i, "addresses"), vendor.addresses)


def _buckets(f: FleetFile) -> Iterator[Finding]:
    for i, vault in enumerate(f.vault):
        if not (vault.bucket.strip() if vault.kind == "sftp" else BUCKET.fullmatch(vault.bucket)):
            hint = "Write 3 to 63 letters, digits, dots and hyphens, as at the vendor; for SFTP, the folder on the box."
            yield ("vault", i, "bucket"), f'"{vault.bucket}" is no bucket\'s name', hint
        if vault.stack and (vault.kind == "sftp" or (vault.stack == "gcp") != (vault.kind == "gcs")):
            hint = 'A bucket of stack "gcp" is of kind "gcs"; those of "aws" and "s3" are of kind "s3".'
            yield ("vault", i, "stack"), f'stack "{vault.stack}" makes no bucket of kind "{vault.kind}"', hint
        if vault.stack == "gcp" and vault.lock_days and not 7 <= vault.lock_days <= 90:  # noqa: PLR2004 - Google's own
            yield (
                ("vault", i, "lock_days"),
                f"Google keeps what was deleted for 7 to 90 days, not {vault.lock_days}",
                "Give 7 to 90, or leave it out.",
            )
        if vault.boundary and vault.stack != "aws":
            yield ("vault", i, "boundary"), "only AWS has permissions boundaries", "Leave boundary out."
        if vault.kind == "sftp" and vault.lock_days:
            yield ("vault", i, "lock_days"), "an SFTP box has no lock", "Leave lock_days out."
        if vault.kind == "sftp" and not vault.copies_only:
            why = "SFTP promises no conditional create, so two epochs could both be sealed there"
            yield ("vault", i, "kind"), why, "Add copies_only = true: it holds copies, and never counts in n."
    places = [(vault.endpoint.rstrip("/"), vault.bucket) for vault in f.vault]
    for i, place in enumerate(places):
        if place in places[:i]:
            why = f"this is the same bucket as vault {f.vault[places.index(place)].name}: one copy would count twice"
            yield ("vault", i, "bucket"), why, "Every vault is a bucket of its own, at a vendor of its own."


def _url(loc: Loc, url: str, scheme: str) -> Iterator[Finding]:
    if scheme == "sftp" and not re.fullmatch(r"sftp://[^/@\s]+", url):
        yield loc, f'"{url}" is no SFTP server', "Write it like sftp://box.example.net:23; the user is in the kit."
    elif not re.match(rf"{scheme}://[^/\s]+", url):
        yield loc, f'"{url}" is not a URL', "Write it like https://storage.example.net."


def _quorums(f: FleetFile) -> Iterator[Finding]:
    home, n = f.site[0].vendor, sum(not vault.copies_only for vault in f.vault)
    for i, vault in enumerate(f.vault):
        if vault.vendor == home:
            why = f'this vault is at "{home}", the primary\'s vendor: both would be lost together'
            yield ("vault", i, "vendor"), why, "Keep vaults at vendors other than the first site's."
    k, s = f.replication.k, f.replication.s
    for key, value in (("k", k), ("s", s)):
        if value > n:
            why = f"{key} = {value} of only {n} vaults that count"
            yield ("replication", key), why, f"Write at most {n}, or declare more vaults."
    if k + s <= n:
        why = f"k + s = {k + s} must be more than n = {n}: an epoch could miss confirmed WAL"
        yield ("replication", "s"), why, f"With k = {k}, write s = {n - k + 1} or more."
    if 2 * s <= n:
        why = f"s = {s} must be more than half of n = {n}: two epochs could be sealed at once"
        yield ("replication", "s"), why, f"Write s = {n // 2 + 1} or more."
