"""The lab's kit: what a first kit holds, and what the lab's vendors hand their customer, made once for each lab."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from resilience import keys
from resilience.lab import places
from resilience.model.rights import PRINCIPALS


def make(kit: Path) -> None:
    """Write a fresh kit; only its owner may read it."""
    kit.mkdir(parents=True, mode=0o700)
    for name, data in keys.first(vendor.name for vendor in places.VENDORS if vendor.vault).items():
        keys.keep(kit / name, data)
    for vendor in places.VENDORS:
        _credentials(kit, vendor)


def _credentials(kit: Path, vendor: places.Place) -> None:
    """What this vendor would hand its customer."""
    if vendor.account:
        keys.keep(kit / "accounts" / f"{vendor.name}.txt", keys.password())
    if vendor.dns:
        keys.keep(kit / "dns" / f"{vendor.name}.txt", keys.password())
    if vendor.vault:
        principals = {principal: _principal(vendor) for principal in PRINCIPALS}
        keys.keep(kit / "vaults" / f"{vendor.name}.json", f"{json.dumps(principals, indent=1)}\n".encode())


def _principal(vendor: places.Place) -> dict[str, str]:
    if vendor.bucket == "gcs":
        return {"token": f"ya29.{secrets.token_urlsafe(32)}"}
    return {"access_key_id": secrets.token_hex(10).upper(), "secret_access_key": secrets.token_urlsafe(30)}


def read_principals(kit: Path, vault: str) -> dict[str, dict[str, str]]:
    """Credentials of a vault's principals."""
    principals: dict[str, dict[str, str]] = json.loads((kit / "vaults" / f"{vault}.json").read_text())
    return principals
