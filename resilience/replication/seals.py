"""Signatures over JSON, and encryption to recipients: thin over `cryptography` and `pyrage`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyrage
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from resilience.errors import MissingPart, VaultError

Sign = Callable[[bytes], str]
Verify = Callable[[bytes, str], bool]
SIGNATURE = re.compile("[0-9a-f]{128}")
LAST_LINE = b"\n--- "
"""How the last line of an age file's header begins (age-encryption.org/v1)."""
LONGEST_HEADER = 8192
"""Room for some seventy recipients. Reading a header takes time that grows with the square of its recipients, and anybody
who may put objects could put one of megabytes."""


def canonical(value: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys and no spaces: what signatures are made over; ValueError for NaN and Infinity, which are none."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def load_key(path: str | Path) -> Ed25519PrivateKey:
    """An Ed25519 private key from its PEM file."""
    try:
        key = serialization.load_pem_private_key(Path(path).read_bytes(), password=None)
    except (OSError, ValueError) as error:
        raise MissingPart(
            f"The signing key {path} cannot be used", str(error), "Put the site's key there again."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise MissingPart(
            f"{path} holds no Ed25519 key", "Another kind of key is in the file.", "Put the site's key there again."
        )
    return key


def public_hex(key: Ed25519PrivateKey) -> str:
    """The public half, as epochs name it."""
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return raw.hex()


def signer(key: Ed25519PrivateKey) -> Sign:
    """A function that signs with this key."""
    return lambda payload: key.sign(payload).hex()


def verify(public: str, payload: bytes, signature: str) -> bool:
    """Whether the key with this public half (hex) signed the payload; one signature is written in one way only."""
    if not SIGNATURE.fullmatch(signature):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), payload)
    except (InvalidSignature, ValueError):
        return False
    return True


def verifier(public: str) -> Verify:
    """A function that checks signatures of this key."""
    return lambda payload, signature: verify(public, payload, signature)


def sign_beneath(sign: Sign, prefix: str) -> Sign:
    """How a rehearsal whose objects lie below `prefix` signs: whoever reads elsewhere takes it for no signature at all."""
    return lambda payload: sign(prefix.encode() + payload)


def check_beneath(check: Verify, prefix: str) -> Verify:
    """What such a rehearsal believes: what the fleet's operator signed, and what it signed itself."""
    own = prefix.encode()
    return (lambda payload, said: check(payload, said) or check(own + payload, said)) if prefix else check


def sign_json(value: Mapping[str, Any], sign: Sign) -> dict[str, Any]:
    """The value with its signature beside it."""
    body = {name: value[name] for name in value if name != "signature"}
    return {**body, "signature": sign(canonical(body))}


def verified_json(data: bytes, check: Verify) -> dict[str, Any] | None:
    """The JSON object in `data` when its signature is good; None when altered or no such thing."""
    try:
        value = json.loads(data)
        signature = value.pop("signature")
        good = check(canonical(value), signature)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
    return {**value, "signature": signature} if good else None


def encrypt(data: bytes, recipients: Sequence[str]) -> bytes:
    """`data` as only the holders of these age identities can read it."""
    sealed: bytes = pyrage.encrypt(data, [pyrage.x25519.Recipient.from_str(r) for r in recipients])
    return sealed


def decrypt(data: bytes, identity: str) -> bytes:
    """What was encrypted to this age identity (or to one it replaced, a line each); VaultError when it does not open."""
    if data.find(LAST_LINE, 0, LONGEST_HEADER) < 0:
        raise VaultError(
            "An object cannot be decrypted",
            f"It has no header of age's that ends within {LONGEST_HEADER:,} bytes.",
            "Another vault's copy may do.",
        )
    try:
        plain: bytes = pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(line) for line in identity.split()])
    except pyrage.DecryptError as error:
        raise VaultError(
            "An object cannot be decrypted", str(error), "Another vault's copy, or another identity, may do."
        ) from error
    return plain
