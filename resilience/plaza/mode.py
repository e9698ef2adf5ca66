"""The mode: open, or read-only for everybody but moderators. It lives in the database, so it moves with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from resilience.plaza.db import Connection, one

OPEN, READ_ONLY = "open", "read-only"


@dataclass(frozen=True, slots=True)
class Mode:
    """Whether people may write, why not, and since when."""

    mode: str
    why: str
    since: datetime

    @property
    def read_only(self) -> bool:
        """Whether only moderators may write."""
        return self.mode == READ_ONLY


async def current(conn: Connection) -> Mode:
    """The mode this site is in."""
    row = await one(conn, "SELECT mode, why, since FROM site_mode")
    return Mode(**row) if row else Mode(READ_ONLY, "Nobody said that it may be.", datetime.now(UTC))


async def change(conn: Connection, mode: str, why: str) -> Mode:
    """Open to writers, or close to all of them but moderators; the same again changes nothing."""
    await conn.execute(
        "INSERT INTO site_mode (mode, why) VALUES (%s, %s) ON CONFLICT (one) DO UPDATE "
        "SET mode = excluded.mode, why = excluded.why, since = CASE WHEN site_mode.mode = excluded.mode "
        "THEN site_mode.since ELSE now() END",
        (mode, why),
    )
    return await current(conn)
