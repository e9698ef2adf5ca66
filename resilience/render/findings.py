"""A check's findings, for people and for machines."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from resilience.model.finding import Finding

ORDER = ("fail", "unknown", "warn", "pass")
"""What needs somebody comes first."""


def findings_json(findings: tuple[Finding, ...]) -> list[dict[str, Any]]:
    """Each finding with its keys."""
    return [asdict(finding) for finding in findings]


def findings_text(findings: tuple[Finding, ...]) -> str:
    """A line each, the worst first, and what to do below it."""
    said = []
    for finding in sorted(findings, key=lambda f: ORDER.index(f.grade)):
        said.append(f"{finding.grade:<8}{finding.area} {finding.subject}: {finding.said}")
        if finding.next:
            said.append(f"        Next: {finding.next}")
    return "\n".join(said)
