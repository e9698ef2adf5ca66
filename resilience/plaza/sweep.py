"""Sweeping: what nobody needs any more goes away."""

from __future__ import annotations

import asyncio
from typing import LiteralString

import psycopg
import structlog

from resilience.plaza import dropped, signups, words
from resilience.plaza.db import Connection
from resilience.plaza.errors import NotSafeElsewhere, PlazaError
from resilience.plaza.state import Plaza

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
            async with plaza.db.work() as conn:
                await sweep_once(conn)
            await dropped.erase(plaza)
        except (psycopg.Error, PlazaError, NotSafeElsewhere, OSError) as error:
            log.warning("not swept", why=str(error).strip()[:200])


async def sweep_once(conn: Connection) -> None:
    """Remove what is expired; pictures wait a day for their post."""
    for sql in (*EXPIRED, *signups.EXPIRED, *(source.strays for source in words.SOURCES)):
        await conn.execute(sql)
    await dropped.never_posted(conn)
