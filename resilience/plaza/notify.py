"""Telling people: a row for whoever is followed, liked or answered, unless they don't want to hear of it."""

from __future__ import annotations

from typing import LiteralString

from resilience.plaza.db import Connection
from resilience.plaza.ids import new_id

FOLLOW, FAVOURITE, MENTION = KINDS = ("follow", "favourite", "mention")


async def notify(conn: Connection, to: int, kind: str, by: int, status_id: int | None = None) -> None:
    """Tell somebody what somebody else did; the same thing once, and never what they blocked or muted."""
    await conn.execute(TELL, {"id": new_id(), "to": to, "kind": kind, "by": by, "status": status_id})


TELL: LiteralString = """
INSERT INTO notifications (id, account_id, kind, from_account_id, status_id)
SELECT %(id)s, %(to)s, %(kind)s, %(by)s, %(status)s WHERE %(to)s::bigint <> %(by)s::bigint
    AND NOT EXISTS (SELECT 1 FROM blocks WHERE account_id = %(to)s AND target_id = %(by)s)
    AND NOT EXISTS (SELECT 1 FROM mutes WHERE account_id = %(to)s AND target_id = %(by)s AND notifications
        AND (expires_at IS NULL OR expires_at > now()))
    AND NOT EXISTS (SELECT 1 FROM notifications WHERE account_id = %(to)s AND kind = %(kind)s
        AND from_account_id = %(by)s AND status_id IS NOT DISTINCT FROM %(status)s::bigint)
"""
