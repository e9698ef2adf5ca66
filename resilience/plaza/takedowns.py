"""Takedowns: a post goes, for everybody and for good."""

from __future__ import annotations

from resilience.plaza import erasure, moderation
from resilience.plaza.errors import Refused
from resilience.plaza.state import Plaza

MAX_REASON = 500
GONE = 404


def check_reason(reason: str) -> None:
    """Refuse what the ledger would have to keep for ever without saying anything."""
    if not reason.strip() or len(reason) > MAX_REASON or "\x00" in reason:
        text = f"Validation failed: Reason can't be blank, and may have {MAX_REASON} characters"
        raise Refused(422, text)


async def take_down(plaza: Plaza, status_id: int, reason: str, by: int) -> int:
    """Take a post down; the number of the entry that does, or of the one that did. Nobody may be told `done` yet."""
    check_reason(reason)
    try:
        return await plaza.enter(erasure.takedown(status_id, reason.strip(), str(by)))
    except Refused as error:
        if error.status != GONE:
            raise
        async with plaza.db.read() as conn:
            earlier = await moderation.removing_entry(conn, status_id)
        if earlier is None:
            raise
        return earlier
