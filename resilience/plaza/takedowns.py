"""Takedowns: a post goes, for everybody and for good, and only then is anybody told so."""

from __future__ import annotations

from resilience.plaza import erasure, moderation
from resilience.plaza.errors import Refused
from resilience.plaza.state import Plaza

MAX_REASON = 500


def check_reason(reason: str) -> None:
    """Refuse what the ledger would have to keep for ever without saying anything."""
    if not reason.strip() or len(reason) > MAX_REASON or "\x00" in reason:
        text = f"Validation failed: Reason can't be blank, and may have {MAX_REASON} characters"
        raise Refused(422, text)


async def take_down(plaza: Plaza, status_id: int, reason: str, by: int) -> int:
    """Take a post down, or wait for the entry that already did; returns its number."""
    check_reason(reason)
    async with plaza.db.read() as conn:
        earlier = await moderation.takedown_entry(conn, status_id)
    if earlier is not None:
        await plaza.wait_held(earlier)
        return earlier
    try:
        return await plaza.record(erasure.takedown(status_id, reason.strip(), str(by)))
    finally:
        async with plaza.db.write(safe=True) as conn:
            await moderation.credit(conn, status_id, by)
