"""Opening vaults: the one place here that picks an adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from resilience.errors import UsageError
from resilience.model import VaultSpec
from resilience.ports import Vault
from resilience.replication.beneath import Beneath
from resilience.replication.mirrored import Mirrored

PLACE = ("name", "vendor", "kind", "endpoint", "bucket", "region", "price_per_1000_puts", "beneath", "within")


def place(spec: VaultSpec) -> dict[str, Any]:
    """What a command is told of a vault: where it is, not how it was made."""
    return {name: getattr(spec, name) for name in PLACE}


def loaders() -> Iterator[Callable[[], object]]:
    """What opening a vault loads the first time, piece by piece: for whoever has to wait anyway."""
    yield lambda: import_module("resilience.adapters.s3").boto3.client("s3", region_name="none")
    yield lambda: import_module("resilience.adapters.gcs")


def told_vault(name: str, objects: Mapping[str, str]) -> Vault:
    """A vault of which only these objects are known."""
    from resilience.adapters.memory_vault import MemoryVault

    vault = MemoryVault(name)
    for key, text in objects.items():
        vault.put_new(key, text.encode())
    return vault


def open_vault(spec: VaultSpec | Mapping[str, Any], credentials: Mapping[str, str], principal: str = "") -> Vault:
    """A vault opened with one principal's credentials.

    S3 takes `access_key_id` and `secret_access_key`, GCS takes `token` or `service_account`,
    SFTP takes `user`, `private_key` and the server's `host_key`.
    """
    place = spec if isinstance(spec, VaultSpec) else VaultSpec(**spec)
    vault = _open(place, credentials, principal)
    if place.within:
        vault = Mirrored(vault, place.within, place.name)
    return Beneath(vault, place.beneath) if place.beneath else vault


def _open(place: VaultSpec, credentials: Mapping[str, str], principal: str) -> Vault:
    try:
        if place.kind == "sftp":
            from resilience.adapters.sftp import SftpVault

            return SftpVault(place, credentials["user"], credentials["private_key"], credentials["host_key"])
        if place.kind == "s3":
            from resilience.adapters.s3 import S3Vault

            return S3Vault(place, credentials["access_key_id"], credentials["secret_access_key"])
        from resilience.adapters.gcs import GcsVault

        if "service_account" in credentials:
            return GcsVault(place, service_account=credentials["service_account"])
        return GcsVault(place, credentials["token"])
    except KeyError as error:
        raise UsageError(
            f"{place.name} cannot be opened{f' as {principal}' if principal else ''}.",
            f"Its credentials lack {error}.",
            "An S3 vault takes access_key_id and secret_access_key, a GCS vault token or service_account, "
            "an SFTP one user, private_key and host_key.",
        ) from error
