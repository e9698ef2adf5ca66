"""What the app leans on after it came back: told beside the verdict, and never a reason to pass."""

from __future__ import annotations

from resilience.judge.clocks import planned
from resilience.judge.evidence import Evidence, Findings, listed, mapping, names
from resilience.model import Protection

THIN = frozenset({"single-vault-left", "no-spare-vault", "no-next-standby", "cannot-seal", "set-stays"})
"""Hazards that say how the next loss would find the app."""


def protection(evidence: Evidence, findings: Findings) -> Protection:
    """Vaults with a verified copy, the next standby, and what the plan says is thin from now on."""
    with findings.part("Protection"):
        again, following = evidence.later("protected-again"), evidence.later("next-standby")
        hazards = [mapping(h, "a hazard").get("name") for h in listed(planned(evidence).get("hazards", []), "hazards")]
        return Protection(
            vaults=names(again[-1].data.get("vaults"), "the vaults that protect again") if again else (),
            next_site=str(following[-1].data.get("site")) if following else None,
            thin=tuple(name for name in hazards if name in THIN),
        )
    return Protection()
