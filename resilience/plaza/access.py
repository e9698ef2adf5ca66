"""Access: apps, tokens, codes and sessions. The database keeps hashes of them, never themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from psycopg.rows import DictRow

from resilience.plaza.accounts import COLUMNS, Account, read
from resilience.plaza.bearer import challenge_of, digest, new_secret, same
from resilience.plaza.db import Connection, one, rows
from resilience.plaza.errors import Refused
from resilience.plaza.ids import new_id

SESSION_DAYS = 30
OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob"
SCOPES = frozenset(("read", "write", "follow", "push", "profile", "admin:read", "admin:write"))
FOLLOW = frozenset(("read:follows", "write:follows", "read:blocks", "write:blocks", "read:mutes", "write:mutes"))
ACCOUNT: LiteralString = ", ".join("a." + name.strip() for name in COLUMNS.split(","))


@dataclass(frozen=True, slots=True)
class App:
    """A client program that was registered."""

    id: int
    client_id: str
    name: str
    website: str | None
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request to the API: an app, mostly for somebody."""

    app: App
    scopes: tuple[str, ...]
    account: Account | None

    def may(self, needed: str) -> bool:
        """Whether the token covers a scope such as `write:statuses`."""
        broad = ":".join(needed.split(":")[:-1])
        return needed in self.scopes or broad in self.scopes or ("follow" in self.scopes and needed in FOLLOW)


def parse_scopes(text: str | None, default: tuple[str, ...] = ("read",)) -> tuple[str, ...]:
    """Scopes from a request; refuses one that doesn't exist."""
    wanted = tuple(dict.fromkeys((text or "").replace("+", " ").split())) or default
    for scope in wanted:
        if scope not in SCOPES and not scope.startswith(("read:", "write:", "admin:read:", "admin:write:")):
            raise Refused(422, f"Validation failed: Scopes has '{scope}', which doesn't exist")
    return wanted


def within(wanted: tuple[str, ...], allowed: tuple[str, ...]) -> bool:
    """Whether every wanted scope is one that the app was registered with."""
    return all(scope in allowed or scope.rsplit(":", 1)[0] in allowed for scope in wanted)


async def register_app(
    conn: Connection, name: str, uris: tuple[str, ...], scopes: tuple[str, ...], website: str | None
) -> tuple[App, str]:
    """A new app and its secret."""
    secret = new_secret()
    app = App(new_id(), new_secret(), name, website, uris, scopes)
    await conn.execute(
        "INSERT INTO apps (id, client_id, secret_hash, name, website, redirect_uris, scopes) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (app.id, app.client_id, digest(secret), name, website, list(uris), list(scopes)),
    )
    return app, secret


async def find_app(conn: Connection, client_id: str, secret: str | None = None) -> App | None:
    """The app with this id; with a secret, only if it is the right one."""
    row = await one(conn, "SELECT * FROM apps WHERE client_id = %s", client_id)
    if row is None or (secret is not None and not same(bytes(row["secret_hash"]), digest(secret))):
        return None
    return _app(row)


async def issue_token(conn: Connection, app: App, account_id: int | None, scopes: tuple[str, ...]) -> str:
    """A new access token."""
    token = new_secret()
    await conn.execute(
        "INSERT INTO oauth_tokens (token_hash, app_id, account_id, scopes) VALUES (%s, %s, %s, %s)",
        (digest(token), app.id, account_id, list(scopes)),
    )
    return token


async def revoke_token(conn: Connection, app: App, token: str) -> None:
    """Make a token of this app worthless."""
    await conn.execute("DELETE FROM oauth_tokens WHERE token_hash = %s AND app_id = %s", (digest(token), app.id))


async def caller(conn: Connection, token: str) -> Caller | None:
    """Who a token belongs to."""
    sql: LiteralString = (
        "SELECT t.scopes AS granted, p.client_id, p.name, p.website, p.redirect_uris, "
        "p.scopes, p.id AS app_id, " + ACCOUNT + " FROM oauth_tokens t "
        "JOIN apps p ON p.id = t.app_id LEFT JOIN accounts a ON a.id = t.account_id "
        "WHERE t.token_hash = %s"
    )
    row = await one(conn, sql, digest(token))
    if row is None:
        return None
    account = None if row["id"] is None else read(conn, row)
    return Caller(_app({**row, "id": row["app_id"]}), tuple(row["granted"]), account)


async def is_persons(conn: Connection, token: str) -> bool | None:
    """Whether this token is a person's; False for an app's own and for one that waits in line, None for one that is none."""
    row = await one(conn, "SELECT account_id FROM oauth_tokens WHERE token_hash = %s", digest(token))
    return None if row is None else row["account_id"] is not None


async def issue_code(
    conn: Connection, app: App, account_id: int, uri: str, scopes: tuple[str, ...],
    challenge: str | None,
) -> str:  # fmt: skip
    """A code that the app may change for a token within ten minutes."""
    code = new_secret()
    await conn.execute(
        "INSERT INTO oauth_codes (code_hash, app_id, account_id, redirect_uri, scopes, challenge, "
        "expires_at) VALUES (%s, %s, %s, %s, %s, %s, now() + interval '10 minutes')",
        (digest(code), app.id, account_id, uri, list(scopes), challenge),
    )
    return code


async def take_code(
    conn: Connection, app: App, code: str, uri: str, verifier: str | None
) -> tuple[int, tuple[str, ...]] | None:
    """Account and scopes of a code, once."""
    row = await one(
        conn,
        "DELETE FROM oauth_codes WHERE code_hash = %s AND app_id = %s AND expires_at > now() "
        "RETURNING account_id, redirect_uri, scopes, challenge",
        digest(code),
        app.id,
    )
    if row is None or row["redirect_uri"] != uri:
        return None
    if row["challenge"] and not same(row["challenge"], challenge_of(verifier or "")):
        return None
    return row["account_id"], tuple(row["scopes"])


async def start_session(conn: Connection, account_id: int) -> str:
    """A new browser session; the value goes into a cookie."""
    token = new_secret()
    await conn.execute(
        "INSERT INTO sessions (token_hash, account_id, expires_at) VALUES (%s, %s, now() + make_interval(days => %s))",
        (digest(token), account_id, SESSION_DAYS),
    )
    return token


async def begin_half_login(conn: Connection, account_id: int) -> str:
    """Remember for ten minutes that the password was right; the value goes into a cookie."""
    token = new_secret()
    await conn.execute(
        "INSERT INTO half_logins (token_hash, account_id, expires_at) VALUES (%s, %s, now() + interval '10 minutes')",
        (digest(token), account_id),
    )
    return token


async def half_login(conn: Connection, token: str) -> int | None:
    """Whose password was right."""
    row = await one(
        conn, "SELECT account_id FROM half_logins WHERE token_hash = %s AND expires_at > now()", digest(token)
    )
    return int(row["account_id"]) if row else None


async def finish_half_login(conn: Connection, token: str, account_id: int) -> str:
    """A session for somebody whose code was right too."""
    await conn.execute("DELETE FROM half_logins WHERE token_hash = %s", (digest(token),))
    return await start_session(conn, account_id)


async def end_everything(conn: Connection, account_id: int) -> None:
    """End every session of somebody, and take the token of every app."""
    await conn.execute("DELETE FROM sessions WHERE account_id = %s", (account_id,))
    await conn.execute("DELETE FROM half_logins WHERE account_id = %s", (account_id,))
    await conn.execute("DELETE FROM oauth_codes WHERE account_id = %s", (account_id,))
    await conn.execute("DELETE FROM oauth_tokens WHERE account_id = %s", (account_id,))


async def sessions_of(conn: Connection, account_id: int, here: str) -> list[DictRow]:
    """Where somebody is logged in, newest first, and which of it is here."""
    return await rows(
        conn,
        "SELECT created_at, token_hash = %s AS here FROM sessions WHERE account_id = %s AND expires_at > now() "
        "ORDER BY created_at DESC LIMIT 50",
        digest(here),
        account_id,
    )


async def apps_of(conn: Connection, account_id: int) -> list[DictRow]:
    """Apps that may act for somebody, newest first."""
    return await rows(
        conn,
        "SELECT p.name, max(t.created_at) AS created_at FROM oauth_tokens t JOIN apps p ON p.id = t.app_id "
        "WHERE t.account_id = %s GROUP BY p.name ORDER BY 2 DESC LIMIT 50",
        account_id,
    )


async def session_account(conn: Connection, token: str) -> Account | None:
    """Who a browser session belongs to."""
    sql: LiteralString = (
        "SELECT " + ACCOUNT + " FROM sessions s JOIN accounts a ON a.id = s.account_id "
        "WHERE s.token_hash = %s AND s.expires_at > now()"
    )
    row = await one(conn, sql, digest(token))
    return read(conn, row) if row else None


async def end_session(conn: Connection, token: str) -> None:
    """Log out."""
    await conn.execute("DELETE FROM sessions WHERE token_hash = %s", (digest(token),))


def _app(row: DictRow) -> App:
    return App(
        row["id"], row["client_id"], row["name"], row["website"],
        tuple(row["redirect_uris"]), tuple(row["scopes"]),
    )  # fmt: skip
