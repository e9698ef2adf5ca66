"""Bulk loading: many people, posts and pictures at once, the same ones for the same seed."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resilience.plaza.errors import PlazaError
from resilience.plaza.store import Store


@dataclass(frozen=True, slots=True)
class Size:
    """How much to load, and of what."""

    users: int
    posts: int
    pictures: Path | None
    picture_count: int
    texts: Path
    seed: int

    @classmethod
    def of(cls, options: argparse.Namespace) -> Size:
        """From the command line."""
        return cls(options.users, options.posts, options.pictures, options.picture_count, options.texts, options.seed)


def load(url: str, store: Store, profile: str, size: Size) -> dict[str, Any]:
    """Fill an empty database."""
    raise PlazaError("Nothing was loaded", "bulk loading is not there yet", "Fill plaza through its API.")
