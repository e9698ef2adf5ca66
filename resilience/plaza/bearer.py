"""Bearer secrets: random, given to the client once, kept here only as a hash."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets


def new_secret() -> str:
    """256 random bits, safe in a URL."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """What the database keeps of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def same(left: str | bytes, right: str | bytes) -> bool:
    """Compare without telling by time how much was right."""
    return hmac.compare_digest(_bytes(left), _bytes(right))


def form_token(cookie: str) -> str:
    """The CSRF token that goes with a cookie which scripts can't read."""
    return hmac.new(cookie.encode(), b"plaza form token", hashlib.sha256).hexdigest()


def challenge_of(verifier: str) -> str:
    """PKCE's S256: what the code challenge must be for this verifier (RFC 7636)."""
    raw = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
