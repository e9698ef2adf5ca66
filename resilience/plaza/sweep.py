"""Sweeping: what nobody needs any more goes away."""

from __future__ import annotations

import asyncio
from typing import LiteralString

import psycopg
import structlog

from resilience.plaza import signups, words
from resilience.plaza.db import Connection, rows
from resilience.plaza.erasure import PICTURES, picture_lock
from resilience.plaza.state import Plaza
from resilience.plaza.store import Store

EVERY_S = 3600.0
log = structlog.get_logger()
EXPIRED: tuple[LiteralString, ...] = (
    "DELETE FROM idempotency WHERE created_at < now() - interval '1 day'",
    "DELETE FROM half_logins WHERE expires_at < now()",
    "DELETE FROM mutes WHERE expires_at < now()",
    "DELETE FROM oauth_codes WHERE expires_at < now()",
    "DELETE FROM sessions WHERE expires_at < now()",
)


async def sweep(plaza: Plaza) -> None:
    """Once an hour: expired keys, codes and sessions, and pictures that never got a post."""
    while True:
        await asyncio.sleep(EVERY_S)
        if plaza.gate.why_closed is not None:
            continue
        try:
            async with plaza.db.write() as conn:
                await sweep_once(conn, plaza.store)
        except psycopg.Error as error:
            log.warning("not swept", why=str(error).strip()[:200])


async def sweep_once(conn: Connection, store: Store) -> None:
    """Remove what is expired; pictures wait a day for their post."""
    for sql in (*EXPIRED, *signups.EXPIRED, *(source.strays for source in words.SOURCES)):
        await conn.execute(sql)
    gone = await rows(
        conn,
        "DELETE FROM media WHERE status_id IS NULL AND purpose = 'post' AND created_at < now() - interval '1 day' "
        "RETURNING sha256",
    )
    for sha in sorted({row["sha256"] for row in gone}):
        await conn.execute("SELECT pg_advisory_xact_lock(%s, %s)", (PICTURES, picture_lock(sha)))
        if not await rows(conn, "SELECT 1 FROM media WHERE sha256 = %s LIMIT 1", sha):
            await asyncio.to_thread(store.remove, sha)
