"""What the newest snapshot came to, by the journal: which vaults have no whole copy of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resilience.model import Event


def lacking(events: Sequence[Event]) -> Mapping[str, str]:
    """Vaults that did not take the newest snapshot, or did not give it back whole, and why."""
    done = [event for event in events if event.kind == "step-done" and event.data.get("action") == "protect"]
    facts = done[-1].data.get("facts", {}) if done else {}
    return {str(vault): str(why) for vault, why in facts.get("doubts", {}).items()}
