"""Heard: what ship says of itself, and whether that may be gone by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilience.model import Reading, Unknown

FRESH_S = 5.0
"""Ship says how things are once a second."""
SOON = 100
"""So many objects go while writes pause: a vault takes them one after the other, from most stores five in a second and more."""


def fresh(said: Mapping[str, Any]) -> bool:
    """Whether this was said just now."""
    age_s = said.get("age_s")
    return age_s is not None and abs(age_s) <= FRESH_S


def unheard(site: str, said: Mapping[str, Any]) -> str | None:
    """Why ship's last word tells nothing of now, and what to do; None where it does.

    A word from the future is no better: the host's clock was set back since, and nobody knows how old it is.
    """
    if not fresh(said):
        age_s = said.get("age_s")
        ago = "at an unknown time" if age_s is None or age_s < 0 else f"{age_s:.0f} s ago"
        return f"ship of {site} last said something {ago} (on its host: `systemctl restart resilience-ship`)"
    if error := said.get("postgres_error"):
        return f"ship of {site} gets nothing from Postgres: {error} (on its host: `journalctl -u resilience-ship`)"
    if why := said.get("turning"):
        return (
            f"ship of {site} has not turned to its vault set yet: {why} (on its host: `journalctl -u resilience-ship`)"
        )
    return None


def follows(said: Reading[Mapping[str, Any]]) -> bool:
    """Whether who says this is a hot standby: one that is only declared is as cold as any other."""
    return not isinstance(said, Unknown) and said.get("role") == "standby"


def unfollowed(site: str, said: Mapping[str, Any]) -> str | None:
    """Why it is not known what a standby has, and what to do; None where it is."""
    if fresh(said) and said.get("lag_seconds") is not None:
        return None
    return f"{site} does not say how far it follows (on its host: `journalctl -u resilience-follow`)"


def lacking(said: Mapping[str, Any], at_most: int = 0) -> str | None:
    """Which vaults lack more of what the app handed over than so many; None where no vault does."""
    left = {vault: seen["backlog_objects"] for vault, seen in said["vaults"].items()}
    told = [f"{vault} lacks {count} objects" for vault, count in left.items() if count > at_most]
    return f"{', '.join(told)} (pictures, keys, ledger entries)" if told else None
