"""Gates: what must be known of a site before it is opened further. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resilience.model import Stage


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found when a site was looked at before it was opened."""

    ledger: int
    """Entries that the app has applied."""
    anchor: int
    """Entries that the vaults hold."""
    missing: int
    corrupt: int
    resurrected: int

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Findings:
        """From a journal's line."""
        return cls(*(int(found[key]) for key in ("ledger", "anchor", "missing", "corrupt", "resurrected")))


LOSE_PICTURES = ("loses-pictures", "loses-writes")
"""Hazards of which one has to be accepted before a site is opened whose rows name pictures that are nowhere."""


def unmet(stage: Stage, found: Findings, *, may_lose: bool) -> str | None:
    """Why a site must not be opened up to this stage; None where it may be. Who may write, or join, may read, too.

    `may_lose` says that it was accepted that pictures are gone; never that they are altered.
    """
    if stage.covers(Stage.READ_ONLY) and (why := _ledger_behind(found)):
        return why
    return _rows_without_media(found, may_lose=may_lose) if stage == Stage.WRITES else None


def _ledger_behind(found: Findings) -> str | None:
    if found.resurrected:
        return f"{found.resurrected} posts that were taken down can be seen"
    if found.ledger < found.anchor:
        return f"the vaults hold {found.anchor} ledger entries, and the app applied {found.ledger}"
    return None


def _rows_without_media(found: Findings, *, may_lose: bool) -> str | None:
    if found.corrupt:
        return f"{found.corrupt} pictures are not what their rows say"
    if found.missing and not may_lose:
        return f"{found.missing} pictures that rows name are nowhere, and nobody accepted that they are lost"
    return None
