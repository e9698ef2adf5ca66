"""Keys: how each kind that a kit begins with is made, and how a file of a kit is kept."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import pyrage
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

RECIPIENTS = "age/recipients.txt"


def first(vaults: Iterable[str]) -> dict[str, bytes]:
    """All that a fleet makes for itself, by file name in the kit; what a vendor hands out is not among it."""
    private, public = ssh_key_pair()
    standby, operator = age_identity(), age_identity()
    return {
        "ssh_ed25519": private.encode(),
        "ssh_ed25519.pub": f"{public}\n".encode(),
        "operator.key": signing_key(),
        "ledger.key": signing_key(),
        "vapid.key": vapid_key(),
        "signups.key": signups_key(),
        "passphrase": password(),
        "age/standby.txt": standby[1],
        "age/operator.txt": operator[1],
        RECIPIENTS: f"{standby[0]} # standby\n{operator[0]} # operator\n".encode(),
        **{restic_file(vault): password() for vault in vaults},
    }


def restic_file(vault: str) -> str:
    """Where the kit keeps the password of a vault's snapshots."""
    return f"restic/{vault}.txt"


def password() -> bytes:
    """A line that nobody guesses."""
    return f"{secrets.token_urlsafe(24)}\n".encode()


def ssh_key_pair() -> tuple[str, str]:
    """An Ed25519 key pair in OpenSSH's forms: private, public."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    return private.decode(), public.decode()


def signing_key(seed: bytes | None = None) -> bytes:
    """An Ed25519 private key in PEM; of these 32 bytes where they are given."""
    return _pem(Ed25519PrivateKey.generate() if seed is None else Ed25519PrivateKey.from_private_bytes(seed))


def vapid_key() -> bytes:
    """A P-256 private key in PEM, as push services know an app by."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def signups_key() -> bytes:
    """A Fernet key, which opens the passwords of people who wait in line."""
    return Fernet.generate_key()


def age_identity(older: str = "") -> tuple[str, bytes]:
    """A new age identity: its recipient, and the text of its file, with those that it replaces."""
    identity = pyrage.x25519.Identity.generate()
    recipient = str(identity.to_public())
    return recipient, f"# public key: {recipient}\n{identity}\n{older}".encode()


def keep(path: Path, data: bytes) -> None:
    """Whole or not at all, for its owner alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.touch(mode=0o600)
    new.chmod(0o600)
    with new.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle)
    new.rename(path)


def _pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
