"""Where the name was to be moved and was not: some users are still led to the old site there, though others are back."""

from __future__ import annotations

from resilience.judge.evidence import Evidence, Findings, mapping, names


def unmoved(evidence: Evidence, findings: Findings) -> None:
    """A DNS vendor that failed, and was neither told later nor counted as lost by a later plan, leaves it unknown who is back."""
    failed: dict[str, str] = {}
    with findings.part("Name"):
        for event in evidence.after:
            subject = str(event.data.get("subject"))
            if event.kind == "plan":
                plan = mapping(event.data.get("plan"), "the plan")
                for vendor in names(plan.get("lost", []), "the vendors that the plan counts as lost"):
                    failed.pop(vendor, None)
            elif event.data.get("action") == "point" and event.kind == "step-failed":
                failed[subject] = str(event.data.get("what"))
            elif event.data.get("action") == "point" and event.kind == "step-done":
                failed.pop(subject, None)
    findings.unknown.extend(
        f"Name: it was not moved at {vendor} ({what}), which may lead users to the old site."
        for vendor, what in failed.items()
    )
