"""Versions of one object: what a store holds back is no reason to leave the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from resilience.errors import VaultError, VaultSilent

T = TypeVar("T")


def remove_each(versions: Iterable[T], remove: Callable[[T], None]) -> None:
    """Remove every version, also after one that is refused; then raise the first refusal. A silent store is asked no more."""
    refused: list[VaultError] = []
    for version in versions:
        try:
            remove(version)
        except VaultSilent:
            raise
        except VaultError as error:
            refused.append(error)
    if refused:
        raise refused[0]
