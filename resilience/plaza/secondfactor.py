"""A second factor: a code from an authenticator app (TOTP, RFC 6238), and recovery codes for when it is lost.

The secret is sealed with a key that is not in the database, so a copy of the database alone opens no account.
"""

from __future__ import annotations

import secrets
import time
from typing import LiteralString

import pyotp
from cryptography.fernet import Fernet

from resilience.plaza.bearer import digest
from resilience.plaza.db import Connection, one

STEP_S = 30
CODES = 10
ISSUER = "Plaza"


class SecondFactor:
    """Second factors, with the key that seals their secrets."""

    def __init__(self, key: bytes) -> None:
        self._seal = Fernet(key)

    async def begin(self, conn: Connection, account_id: int) -> str:
        """A new secret that counts once it is confirmed; one that is in use stays."""
        secret = pyotp.random_base32()
        row = await one(conn, BEGIN, account_id, self._seal.encrypt(secret.encode()))
        return secret if row else ""

    async def waiting(self, conn: Connection, account_id: int) -> str | None:
        """The secret that waits to be confirmed."""
        row = await one(
            conn, "SELECT secret FROM second_factors WHERE account_id = %s AND confirmed_at IS NULL", account_id
        )
        return self._seal.decrypt(bytes(row["secret"])).decode() if row else None

    async def confirm(self, conn: Connection, account_id: int, code: str) -> bool:
        """Switch it on, if the app shows the right code."""
        if not await self._right_code(conn, account_id, code):
            return False
        await conn.execute("UPDATE second_factors SET confirmed_at = now() WHERE account_id = %s", (account_id,))
        return True

    async def check(self, conn: Connection, account_id: int, code: str) -> bool:
        """Whether a code is right; each works once, whether the app's or a recovery code."""
        return await self._right_code(conn, account_id, code) or await use_recovery_code(conn, account_id, code)

    async def _right_code(self, conn: Connection, account_id: int, code: str) -> bool:
        """The code of now, of the half minute before or after, and of none that was used before."""
        sql: LiteralString = "SELECT secret, last_step FROM second_factors WHERE account_id = %s FOR UPDATE"
        row = await one(conn, sql, account_id)
        digits = "".join(code.split())
        if row is None or not digits.isascii() or not digits.isdigit():
            return False
        totp = pyotp.TOTP(self._seal.decrypt(bytes(row["secret"])).decode())
        now = int(time.time()) // STEP_S
        for step in (now - 1, now, now + 1):
            if step > row["last_step"] and totp.verify(digits, for_time=step * STEP_S):
                await conn.execute("UPDATE second_factors SET last_step = %s WHERE account_id = %s", (step, account_id))
                return True
        return False


BEGIN: LiteralString = """
INSERT INTO second_factors (account_id, secret) VALUES (%s, %s)
ON CONFLICT (account_id) DO UPDATE SET secret = excluded.secret, last_step = 0
WHERE second_factors.confirmed_at IS NULL RETURNING account_id
"""


async def is_on(conn: Connection, account_id: int) -> bool:
    """Whether somebody has a second factor."""
    sql: LiteralString = "SELECT 1 FROM second_factors WHERE account_id = %s AND confirmed_at IS NOT NULL"
    return await one(conn, sql, account_id) is not None


async def switch_off(conn: Connection, account_id: int) -> None:
    """Have none any more."""
    await conn.execute("DELETE FROM second_factors WHERE account_id = %s", (account_id,))


async def new_recovery_codes(conn: Connection, account_id: int) -> list[str]:
    """Ten fresh codes; the old ones are worthless. They are shown once and kept as hashes."""
    await conn.execute("DELETE FROM recovery_codes WHERE account_id = %s", (account_id,))
    codes = ["-".join(secrets.token_hex(2) for _ in range(4)) for _ in range(CODES)]
    for code in codes:
        await conn.execute(
            "INSERT INTO recovery_codes (account_id, code_hash) VALUES (%s, %s)", (account_id, _hash(code))
        )
    return codes


async def recovery_codes_left(conn: Connection, account_id: int) -> int:
    """How many are left."""
    row = await one(conn, "SELECT count(*)::int AS n FROM recovery_codes WHERE account_id = %s", account_id)
    return int(row["n"]) if row else 0


async def use_recovery_code(conn: Connection, account_id: int, code: str) -> bool:
    """Whether it is one of theirs; it works once."""
    cursor = await conn.execute(
        "DELETE FROM recovery_codes WHERE account_id = %s AND code_hash = %s", (account_id, _hash(code))
    )
    return cursor.rowcount > 0


def address(secret: str, username: str) -> str:
    """What the authenticator app reads from the picture."""
    return pyotp.TOTP(secret).provisioning_uri(name=username, issuer_name=ISSUER)


def _hash(code: str) -> bytes:
    return digest(code.strip().lower().replace(" ", "").replace("-", ""))
