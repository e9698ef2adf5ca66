"""What an approved plan needs is still in the fleet file, which a person may have changed since."""

from __future__ import annotations

from collections.abc import Iterator

from resilience.errors import Refused
from resilience.model import Fleet, Plan, Step

NO_SITE = frozenset({"point", "delegate", "mirror"})
"""Actions that are done to something else: a DNS vendor's zone, a delegation, a mirror."""


def refuse_undeclared(fleet: Fleet, plan: Plan) -> None:
    """Refused where a step is about a zone, a vault or a site that the fleet file no longer declares."""
    known = {
        "zone": {zone.vendor for zone in fleet.names.zones},
        "vault": {vault.name for vault in fleet.vaults},
        "site": {site.name for site in fleet.sites},
    }
    for kind, name in (needed for step in plan.steps for needed in _needs(step)):
        if name not in known[kind]:
            raise Refused(
                f"Plan {plan.digest} needs the {kind} {name}, and the fleet file declares none of that name.",
                "The file was changed since that plan was approved.",
                f"Declare {name} again as it was, and run the same command again. A vendor that is gone stays in the file "
                "until a plan with --lost for it is done: see runbooks/dns-vendor-gone.md and runbooks/vault-vendor-gone.md.",
            )


def _needs(step: Step) -> Iterator[tuple[str, str]]:
    """Kind and name of each thing that it is done to, or done with."""
    if step.action == "point":
        yield "zone", step.subject
    if step.action not in NO_SITE:
        yield "site", step.subject
    yield from (("vault", str(name)) for names in ("vaults", "ends") for name in step.args.get(names, ()))
