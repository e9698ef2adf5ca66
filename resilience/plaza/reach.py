"""Whether a moderator can reach the queue: one really asks for it, with a token that lives for one request."""

from __future__ import annotations

import http.client
import json
from typing import Any

import psycopg

from resilience.plaza.bearer import digest, new_secret
from resilience.plaza.ids import new_id
from resilience.plaza.settings import Settings

PATH = "/api/v1/admin/reports?limit=1"
NAME = "The queue's own check"
TIMEOUT_S = 10


def look(settings: Settings) -> dict[str, Any]:
    """How many may moderate, how many reports are open, and whether a moderator gets to them over HTTP."""
    with psycopg.connect(settings.database_url, connect_timeout=5, autocommit=True) as conn:
        moderators = conn.execute("SELECT id FROM accounts WHERE role = 'moderator' ORDER BY id").fetchall()
        waiting = conn.execute("SELECT count(*) FROM reports WHERE action_taken_at IS NULL").fetchone()
        seen = {"moderators": len(moderators), "open": int(waiting[0]) if waiting else 0, "reached": False}
        if moderators:
            seen["reached"] = _ask_as(conn, settings, int(moderators[0][0]))
    return seen


def _ask_as(conn: psycopg.Connection[tuple[Any, ...]], settings: Settings, account_id: int) -> bool:
    app, token = new_id(), new_secret()
    conn.execute(
        "INSERT INTO apps (id, client_id, secret_hash, name, redirect_uris, scopes) VALUES (%s, %s, %s, %s, %s, %s)",
        (app, new_secret(), digest(new_secret()), NAME, [], ["admin:read"]),
    )
    try:
        conn.execute(
            "INSERT INTO oauth_tokens (token_hash, app_id, account_id, scopes) VALUES (%s, %s, %s, %s)",
            (digest(token), app, account_id, ["admin:read"]),
        )
        return _answered(settings, token)
    finally:
        conn.execute("DELETE FROM apps WHERE id = %s", (app,))


def _answered(settings: Settings, token: str) -> bool:
    """Whether plaza answers the request with a list."""
    line = http.client.HTTPConnection(settings.host, settings.port, timeout=TIMEOUT_S)
    try:
        line.request("GET", PATH, headers={"Authorization": f"Bearer {token}"})
        answer = line.getresponse()
        return answer.status == http.client.OK and isinstance(json.loads(answer.read()), list)
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        line.close()
