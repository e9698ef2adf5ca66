"""The rules that copies and epochs are counted by. Pure, and the same for the product and the model of it."""

from __future__ import annotations

from collections.abc import Iterable

from resilience.errors import UsageError


def check_quorums(n: int, k: int, s: int) -> None:
    """Refuse a vault set in which a seal could miss an acknowledged chunk, or two could win."""
    if 1 <= k <= n and 1 <= s <= n and k + s > n and 2 * s > n:
        return
    raise UsageError(
        f"A vault set of n={n}, k={k}, s={s} does not fence.",
        "k + s > n lets every seal meet every confirmed chunk, s > n/2 lets one seal win; both must hold.",
        "Choose larger k or s, or other vaults.",
    )


def held_by(k: int, positions: Iterable[int]) -> int:
    """The position that k vaults are at or past."""
    return sorted(positions, reverse=True)[k - 1]
