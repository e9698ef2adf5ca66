"""The price table in this package: `prices.toml`."""

from __future__ import annotations

import tomllib
from importlib.resources import files

from resilience.model.cost import HostPrice, Prices, StoragePrice


def load_prices() -> Prices:
    """Every price with its source and day."""
    raw = tomllib.loads((files("resilience.config") / "prices.toml").read_text(encoding="utf-8"))
    return Prices(
        storage=tuple(StoragePrice(**row) for row in raw["storage"]),
        hosts=tuple(HostPrice(**row) for row in raw["host"]),
    )
