"""Settings: read from the environment, and from nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resilience.plaza.errors import PlazaError
from resilience.plaza.ratelimit import KINDS

REQUIRED = (
    "DATABASE_URL",
    "MEDIA_DIR",
    "LEDGER_DIR",
    "OUTBOX_DIR",
    "HELD_DIR",
    "LEDGER_KEY",
    "VAPID_KEY",
    "SIGNUPS_KEY",
    "PUBLIC_URL",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where plaza finds its database, its directories and its key."""

    database_url: str
    media_dir: Path
    ledger_dir: Path
    outbox_dir: Path
    held_dir: Path
    ledger_key: Path
    vapid_key: Path
    signups_key: Path
    public_url: str
    host: str = "127.0.0.1"
    port: int = 8000
    argon2: str = "owasp"
    ledger_wait_s: float = 10.0
    line_wait_s: float = 3.0
    sign_ups_mark: Path | None = None
    """People are let in from the line while this file is there; None: always."""
    hold_recipient: str = ""
    endpoints: Path | None = None
    mail: str = ""
    mail_from: str = ""
    push_trust: frozenset[str] = frozenset()
    endpoints_key: Path | None = None
    api_limit: int = 7500
    limits: Mapping[str, int] = field(default_factory=dict)
    """Requests of one kind, by its name, where they are not to be the usual number."""
    sends: bool = True
    """Off in a rehearsed copy: no mail and no push leaves it."""
    ledger_prefix: str = ""
    """In a rehearsed copy: with what all begins that it signs by the ledger's key, so that it is no entry of the fleet's."""

    @property
    def secure(self) -> bool:
        """Whether people reach us by https, so that cookies may insist on it."""
        return self.public_url.startswith("https://")

    @property
    def domain(self) -> str:
        """The public name without scheme, as Mastodon's clients show it."""
        return self.public_url.split("://", 1)[-1]


def from_env(env: Mapping[str, str] = os.environ) -> Settings:
    """Settings from environment variables; names every variable that is missing."""
    missing = [name for name in REQUIRED if not env.get(name)]
    if missing:
        raise PlazaError(
            "Plaza is not configured",
            f"the environment lacks {', '.join(missing)}",
            "Set them, or name a file that does with --env-file.",
        )
    host, port = _listen(env.get("LISTEN", "127.0.0.1:8000"))
    return Settings(
        database_url=env["DATABASE_URL"],
        media_dir=Path(env["MEDIA_DIR"]),
        ledger_dir=Path(env["LEDGER_DIR"]),
        outbox_dir=Path(env["OUTBOX_DIR"]),
        held_dir=Path(env["HELD_DIR"]),
        ledger_key=Path(env["LEDGER_KEY"]),
        vapid_key=Path(env["VAPID_KEY"]),
        signups_key=Path(env["SIGNUPS_KEY"]),
        public_url=env["PUBLIC_URL"].rstrip("/"),
        host=host,
        port=port,
        argon2=env.get("ARGON2", "owasp"),
        ledger_wait_s=_number("LEDGER_WAIT_S", env.get("LEDGER_WAIT_S", "10")),
        line_wait_s=_number("LINE_WAIT_S", env.get("LINE_WAIT_S", "3")),
        sign_ups_mark=_path(env.get("SIGN_UPS_MARK")),
        hold_recipient=env.get("HOLD_RECIPIENT", ""),
        mail=env.get("MAIL", ""),
        mail_from=env.get("MAIL_FROM", ""),
        push_trust=frozenset(env.get("PUSH_TRUST", "").split()),
        endpoints=_path(env.get("ENDPOINTS")),
        endpoints_key=_path(env.get("ENDPOINTS_KEY")),
        api_limit=int(_number("API_LIMIT", env.get("API_LIMIT", "7500"))),
        limits=_limits(env.get("LIMITS", "")),
        sends=env.get("SENDS", "on") != "off",
        ledger_prefix=env.get("LEDGER_PREFIX", ""),
    )


def read_env_file(path: Path) -> dict[str, str]:
    """`NAME=value` lines as systemd's EnvironmentFile reads the simple ones."""
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        text = line.strip()
        if not text or text.startswith(("#", ";")):
            continue
        name, equals, value = text.partition("=")
        if not equals:
            raise PlazaError(f"{path} can't be read", f"line {number} has no '='", "Write NAME=value.")
        found[name.strip()] = value.strip().strip("\"'")
    return found


def _listen(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise PlazaError("LISTEN can't be read", f"'{text}' is not HOST:PORT", "Write for example 127.0.0.1:8000.")
    return host, int(port)


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise PlazaError(f"{name} can't be read", f"'{text}' is not a number", "Write for example 10.") from None


def _limits(text: str) -> dict[str, int]:
    """`posts=300 media=30`."""
    found: dict[str, int] = {}
    for word in text.split():
        name, _, count = word.partition("=")
        if name not in (known := [kind.name for kind in KINDS]) or not count.isdigit():
            raise PlazaError("LIMITS can't be read", f"'{word}' is no limit", f"Write NAME=NUMBER: {', '.join(known)}.")
        found[name] = int(count)
    return found


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
