"""Which pictures rows still name, and handing some to the shipper once more: for whoever erases copies elsewhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

import psycopg

from resilience.plaza.erasure import PICTURES, picture_lock
from resilience.plaza.settings import Settings
from resilience.plaza.store import Store


def named_pictures(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Of the pictures on standard input, a sha256 a line, those that a row names; uploads under way are waited for."""
    wanted = _given()
    with psycopg.connect(settings.database_url, connect_timeout=5) as conn:
        return {"named": sorted(_named(conn, wanted))}


def ship_pictures(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Hand the pictures on standard input to the shipper once more, those that a row names and that are here."""
    from resilience.plaza.files import hand_over

    wanted, store = _given(), Store(settings.media_dir, settings.outbox_dir)
    with psycopg.connect(settings.database_url, connect_timeout=5) as conn:
        here = sorted(sha for sha in _named(conn, wanted) if store.path(sha).exists())
        for sha in here:
            hand_over(store.path(sha), settings.outbox_dir / "media" / sha)
    return {"handed_over": len(here), "absent": sorted(set(wanted) - set(here))}


def _given() -> list[str]:
    return sorted({line.strip() for line in sys.stdin if line.strip()})


def _named(conn: psycopg.Connection[tuple[Any, ...]], wanted: Iterable[str]) -> set[str]:
    """Those that a row names, while nobody stores or removes one of them."""
    for bucket in sorted({picture_lock(sha) for sha in wanted}):
        conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (PICTURES, bucket))
    found = conn.execute("SELECT DISTINCT sha256 FROM media WHERE sha256 = ANY(%s)", (list(wanted),))
    return {row[0] for row in found}
