"""named: which pictures the app's rows name; for whoever must know of each, before anybody moves, that it can be had."""

from __future__ import annotations

from typing import Any

from resilience.replication.config import Config
from resilience.replication.fetch_media import rows


def main(config: Config) -> dict[str, Any]:
    """By name, as `media_query` has them."""
    return {"named": list(rows(config))}
