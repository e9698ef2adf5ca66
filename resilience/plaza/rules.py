"""The rules that people agree to, and that every decision names one of."""

from __future__ import annotations

from resilience.plaza.errors import Refused

RULES = [
    {"id": "1", "text": "Be kind. No threats, no hatred.", "hint": ""},
    {"id": "2", "text": "Post nothing that is against the law.", "hint": ""},
    {"id": "3", "text": "Share pictures that are yours to share.", "hint": ""},
]
IDS = tuple(rule["id"] for rule in RULES)
LAW = "2"
NONE = "none"
"""What a decision names that finds no rule broken."""


def check_rule(rule: str) -> None:
    """Refuse a rule that there is none of."""
    if rule not in (*IDS, NONE):
        raise Refused(422, f"Validation failed: Rule must be one of {', '.join((*IDS, NONE))}")
