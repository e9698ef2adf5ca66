"""Revert a vault: what was put first is the object again, wherever somebody wrote over it and the store kept both.

Our own readers take the first version anyway; restic can't, so a snapshot that a thief wrote over needs this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

from resilience.ports import Vault

AT_ONCE = 8
SHOWN = 5


@runtime_checkable
class Reverts(Protocol):
    """A vault whose store keeps what was written over."""

    def written_over(self) -> Mapping[str, Sequence[str]]:
        """By key the versions that came after the first."""

    def remove_versions(self, key: str, versions: Iterable[str]) -> None:
        """Remove exactly these."""


def revert(vault: Vault, *, really: bool) -> dict[str, Any]:
    """Remove every version but the first of whatever was written over, or only say what that is."""
    found = vault.written_over() if isinstance(vault, Reverts) else {}
    if really and isinstance(vault, Reverts):
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            list(pool.map(lambda item: vault.remove_versions(*item), found.items()))
    told = {"vault": vault.name, "keeps_versions": isinstance(vault, Reverts), "written_over": len(found)}
    return {**told, "reverted": really, "keys": sorted(found)[:SHOWN]}
