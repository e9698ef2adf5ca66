"""The kit: keys and credentials an operator holds, made once for each lab.

==========================  ================================================================
ssh_ed25519, .pub           opens every host
operator.key                Ed25519, signs epochs
ledger.key                  Ed25519, plaza signs ledger entries with it
age/standby.txt             age identity that reads what the vaults hold, for the target site
age/operator.txt            age identity that only the operator has
age/recipients.txt          public halves of both: whom ship encrypts to
passphrase                  opens the stacks' state
restic/VAULT.txt            password of the vault's restic repository
vaults/VAULT.json           {ship, standby, reader, operator}: credentials of its principals
accounts/VENDOR.txt         token for the account API
dns/VENDOR.txt              key for the name server's API
host_keys/ADDRESS.pub       SSH host keys of hosts that are simply there
==========================  ================================================================
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pyrage
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from resilience.lab import places
from resilience.model.rights import PRINCIPALS


def make(kit: Path) -> None:
    """Write a fresh kit; only its owner may read it."""
    kit.mkdir(parents=True, mode=0o700)
    private, public = ssh_key_pair()
    keep(kit / "ssh_ed25519", private)
    keep(kit / "ssh_ed25519.pub", public + "\n")
    for name in ("operator.key", "ledger.key"):
        keep(kit / name, signing_key())
    recipients = [_age_identity(kit / "age" / f"{name}.txt") for name in ("standby", "operator")]
    keep(kit / "age" / "recipients.txt", "\n".join(recipients) + "\n")
    keep(kit / "passphrase", secrets.token_urlsafe(24) + "\n")
    for vendor in places.VENDORS:
        _credentials(kit, vendor)


def _credentials(kit: Path, vendor: places.Place) -> None:
    """What this vendor would hand its customer."""
    if vendor.account:
        keep(kit / "accounts" / f"{vendor.name}.txt", secrets.token_urlsafe(24) + "\n")
    if vendor.dns:
        keep(kit / "dns" / f"{vendor.name}.txt", secrets.token_urlsafe(24) + "\n")
    if vendor.vault:
        keep(kit / "restic" / f"{vendor.name}.txt", secrets.token_urlsafe(24) + "\n")
        principals = {principal: _principal(vendor) for principal in PRINCIPALS}
        keep(kit / "vaults" / f"{vendor.name}.json", json.dumps(principals, indent=1) + "\n")


def _principal(vendor: places.Place) -> dict[str, str]:
    if vendor.bucket == "gcs":
        return {"token": f"ya29.{secrets.token_urlsafe(32)}"}
    return {"access_key_id": secrets.token_hex(10).upper(), "secret_access_key": secrets.token_urlsafe(30)}


def read_principals(kit: Path, vault: str) -> dict[str, dict[str, str]]:
    """Credentials of a vault's principals."""
    principals: dict[str, dict[str, str]] = json.loads((kit / "vaults" / f"{vault}.json").read_text())
    return principals


def ssh_key_pair() -> tuple[str, str]:
    """An Ed25519 key pair in OpenSSH's forms: private, public."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
    public = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    return private.decode(), public.decode()


def signing_key() -> str:
    """An Ed25519 private key in PEM."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()).decode()


def _age_identity(path: Path) -> str:
    """Write a new age identity; its recipient."""
    identity = pyrage.x25519.Identity.generate()
    recipient = str(identity.to_public())
    keep(path, f"# public key: {recipient}\n{identity}\n")
    return recipient


def keep(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text)
