"""Logging in: a name and a password, checked slowly on purpose and not too often."""

from __future__ import annotations

from starlette.requests import Request

from resilience.plaza import accounts
from resilience.plaza.state import plaza_of

LONGEST = 1024


async def authenticate(request: Request, name: str, password: str) -> int | None:
    """The account's id when the password is right; refuses whoever was wrong too often.

    No database connection is held while the password is hashed.
    """
    plaza = plaza_of(request)
    address = request.client.host if request.client else ""
    with plaza.limits.login(name, address) as attempt:
        async with plaza.db.read() as conn:
            found = await accounts.credentials(conn, name)
        right = await plaza.passwords.matches(found[1] if found else None, password[:LONGEST])
        attempt.right = found is not None and right
    return found[0] if found and right else None
