"""The drill's fleet, with vendors that exist in memory only."""

from __future__ import annotations

from resilience.model import Fleet, Names, Promise, Replication, Site, VaultSpec, Vendor, ZoneSpec

VENDORS = ("acorn", "birch", "cedar", "dover", "elm")


def simulated_fleet(rules: Replication | None = None) -> Fleet:
    """Five vendors, three sites, three vaults, a name at two DNS vendors."""
    url = "http://simulated.invalid"
    return Fleet(
        name="plaza",
        app="plaza",
        vendors=tuple(Vendor(name, account=url) for name in VENDORS),
        sites=(
            Site("acorn", "acorn", "lab"),
            Site("birch", "birch", "lab"),
            Site("cedar", "cedar", "baremetal", addresses=("198.18.3.100",)),
        ),
        vaults=(
            VaultSpec("birch", "birch", "gcs", url, "vault"),
            VaultSpec("cedar", "cedar", "s3", url, "vault"),
            VaultSpec("elm", "elm", "s3", url, "vault"),
        ),
        names=Names(
            "plaza.test",
            30,
            (ZoneSpec("acorn", "powerdns", url), ZoneSpec("dover", "powerdns", url)),
        ),
        promise=Promise(rto_s=90, rpo_s=2),
        replication=rules or Replication(k=2, s=2),
        lab=True,
    )
