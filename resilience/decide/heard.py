"""Heard: whether what ship says of itself may be gone by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FRESH_S = 5.0
"""Ship says how things are once a second."""


def unheard(site: str, said: Mapping[str, Any]) -> str | None:
    """Why ship's last word tells nothing of now, and what to do; None where it does.

    A word from the future is no better: the host's clock was set back since, and nobody knows how old it is.
    """
    age_s = said.get("age_s")
    if age_s is None or abs(age_s) > FRESH_S:
        ago = "at an unknown time" if age_s is None or age_s < 0 else f"{age_s:.0f} s ago"
        return f"ship of {site} last said something {ago} (on its host: `systemctl restart resilience-ship`)"
    if error := said.get("postgres_error"):
        return f"ship of {site} gets nothing from Postgres: {error} (on its host: `journalctl -u resilience-ship`)"
    return None
