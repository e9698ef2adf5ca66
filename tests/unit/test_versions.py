"""Versions of an object: what can go, goes."""

from __future__ import annotations

import pytest

from resilience.adapters.versions import remove_each
from resilience.errors import VaultError, VaultSilent


def test_one_version_that_is_held_keeps_no_other() -> None:
    """All that can go is gone before the first refusal is told; where the store says nothing, nothing more is asked."""
    gone: list[str] = []

    def remove(version: str) -> None:
        if version == "quiet":
            raise VaultSilent("elm could not erase it", "It does not answer.", "Again.")
        if version in {"held", "held-too"}:
            raise VaultError(f"elm could not erase {version}", "WORM", "Wait.")
        gone.append(version)

    with pytest.raises(VaultError, match=r"could not erase held(?!-)"):
        remove_each(["new", "held", "old", "held-too", "first"], remove)
    assert gone == ["new", "old", "first"]
    with pytest.raises(VaultSilent):
        remove_each(["held", "quiet", "never asked"], remove)
    assert gone == ["new", "old", "first"]
