"""A data plane whose chain has a hole in every vault."""

from __future__ import annotations

from typing import Any

from resilience.errors import BrokenChain

GOOD = "0/16B3748"
MISSING = "WAL of epoch 1 from 0/16B3748 to 0/16B9000"


class Broken:
    """The simulated data plane, with a hole in the chain that every vault has."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def without(self, vaults: frozenset[str], *, forced: bool = False) -> Broken:
        """The same with fewer vaults."""
        return Broken(self.inner.without(vaults, forced=forced))

    def restore(self, site: Any, outputs: Any, epoch: Any, accept_end: str | None = None, until: Any = None) -> Any:
        """Only up to where data is good, and only when told so."""
        if accept_end != GOOD:
            raise BrokenChain(MISSING, f"{GOOD} (2021-01-10 07:00:00.000000 UTC)", "Bring a vault back.")
        return self.inner.restore(site, outputs, epoch, accept_end, until)
