"""A vault's own stack: its bucket and principals, through the same engine and state as sites."""

from __future__ import annotations

from resilience.adapters.budget import PARALLEL
from resilience.adapters.pulumi import PulumiCloud, config_of
from resilience.errors import UsageError
from resilience.model import Site, VaultSpec

Credentials = dict[str, dict[str, str]]


def as_site(spec: VaultSpec) -> Site:
    """What the engine calls a vault's stack; vaults and sites share one state."""
    return Site(f"vault-{spec.name}", spec.vendor, f"{spec.stack}-vault")


def make(cloud: PulumiCloud, spec: VaultSpec) -> Credentials:
    """Make the vault, or finish what a half-done run began; the credentials of its principals."""
    if not spec.stack:
        raise UsageError(
            f"{spec.name} has no stack: its bucket and principals are made by hand",
            "The fleet file names none for it.",
            'Add stack = "aws", "gcp" or "s3" to this vault, or follow docs/vendors/ and fill the kit yourself.',
        )
    site = as_site(spec)
    values = {
        "kind": site.stack,
        "vendor": spec.vendor,
        "fleet": cloud.fleet,
        "bucket": spec.bucket,
        "region": spec.region,
        "endpoint": spec.endpoint,
        "lockDays": str(spec.lock_days),
        "boundary": spec.boundary,
    }

    def action() -> Credentials:
        stack = cloud.stack(site)
        stack.set_all_config(config_of(values, spec.region))
        made: Credentials = (
            stack.up(color="never", suppress_outputs=True, parallel=PARALLEL).outputs["credentials"].value
        )
        return made

    return cloud.operate(site, "make", action)
