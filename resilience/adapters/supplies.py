"""Port Supplies: what hosts are set up from, in every vault; and where a host gets it.

`supplies/<sha256>/<name>` holds a file, `supplies/signed-<digest>.json` says which belong together, signed with the
operator's key: hosts install as root what it names, so no vault's word is enough for it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog

from resilience import caches
from resilience.adapters.kit import Kit
from resilience.errors import MissingPart, ResilienceError, VaultError
from resilience.model import Fleet, VaultSpec
from resilience.ports import Signer, Vault
from resilience.replication import seals
from resilience.replication.epoch import each
from resilience.replication.listed import Doubt, in_turn
from resilience.replication.manifest import PREFIX, Manifest, Part

CODE = "src.tar.gz"
LEFT_OUT = frozenset({"__pycache__", "lab", "cli", "render"})
"""Folders of ours that no host needs."""
LINK_S = 3600
log = structlog.get_logger()
PACKAGE = Path(__file__).resolve().parent.parent
Link = Callable[[str], Mapping[str, Any]]
"""From an object's key to {vault, url, headers}."""


@dataclass(frozen=True)
class VaultSupplies:
    """The supplies of this machine, the vaults that hold them, and how a host gets them there."""

    fleet: Fleet
    kit: Kit
    vaults: Mapping[str, Vault]
    """Opened by the operator."""
    signer: Signer

    def put(self) -> Mapping[str, Any]:
        """Put what a vault lacks, all at once, manifests last; {digest, bytes, vaults, failed: vaults that could not}."""
        directory = caches.supplies()
        manifest, code = local_manifest(directory)
        answers = each(self.vaults, lambda vault: _put(vault, manifest, code, directory, self.signer))
        put = {name: answer for name, answer in answers.items() if isinstance(answer, int)}
        failed = {name: answer.what for name, answer in answers.items() if isinstance(answer, ResilienceError)}
        if not put:
            raise VaultError(
                "No vault took the supplies.", "; ".join(failed.values()), "Bring a vault back and run this again."
            )
        whole = sum(part.bytes for part in manifest.parts)
        return {"digest": manifest.digest, "bytes": whole, "vaults": put, "failed": failed}

    def without(self, vaults: frozenset[str]) -> VaultSupplies:
        """The same, with no door to these vaults."""
        return replace(self, vaults={name: vault for name, vault in self.vaults.items() if name not in vaults})

    def sources(self, names: Iterable[str]) -> dict[str, Any]:
        """For each file, links to it in these vaults; {digest, files}. Nothing else is asked."""
        specs = [self.fleet.vault(name) for name in names]
        manifest = self._held({spec.name: self.vaults[spec.name] for spec in specs})
        links = [link_maker(spec, self.kit.vault(spec.name, "reader")) for spec in specs]
        return {"digest": manifest.digest, "files": share(manifest, links)}

    def _held(self, vaults: Mapping[str, Vault]) -> Manifest:
        """This machine's own manifest where a vault holds it, else the newest any of them holds."""
        try:
            mine, _ = local_manifest(caches.supplies())
        except MissingPart:
            return newest(vaults, self.signer.verify)
        held = any(_answers(vault, mine.key) for vault in vaults.values())
        return mine if held else newest(vaults, self.signer.verify)


def local_manifest(directory: Path) -> tuple[Manifest, bytes]:
    """What belongs together now, and our own code as one of its files."""
    try:
        listed = json.loads((directory / "manifest.json").read_text())["files"]
    except (OSError, ValueError, KeyError) as error:
        raise MissingPart(
            f"{directory} holds no supplies", str(error), "Run scripts/bootstrap: it makes them anew."
        ) from error
    code = pack_code(PACKAGE)
    parts = [Part(name, about["sha256"], about["bytes"]) for name, about in sorted(listed.items())]
    parts.append(Part(CODE, hashlib.sha256(code).hexdigest(), len(code)))
    return Manifest(tuple(parts), time.time()), code


def newest(vaults: Mapping[str, Vault], verify: seals.Verify) -> Manifest:
    """The newest manifest that the operator signed and any of these vaults holds; others, and silent vaults, are passed over."""
    best: Manifest | None = None
    told: list[str] = []
    for name, vault in vaults.items():
        try:
            for key, found in in_turn(vault, vault.list(PREFIX), partial(_signed, verify)):
                if not isinstance(found, Doubt):
                    best = max(best or found, found, key=lambda manifest: manifest.made)
                    continue
                log.warning("a list of supplies does not count", vault=name, key=key, why=found)
                told.append(f"{name}: {key} {found}")
        except ResilienceError as error:
            told.append(f"{name}: {error.what}")
    if best is None:
        raise MissingPart(
            "No vault holds supplies",
            "; ".join(told) or f"None of {', '.join(vaults)} has an object under {PREFIX}.",
            "Put them there from a machine that ran scripts/bootstrap: resilience up.",
        )
    return best


def _signed(verify: seals.Verify, key: str, data: bytes) -> Manifest | Doubt:
    manifest = Manifest.from_bytes(data, verify)
    if manifest is None or manifest.key != key:
        return Doubt("is no list that the operator signed for that name")
    return manifest


def share(manifest: Manifest, links: Sequence[Link]) -> list[dict[str, Any]]:
    """Each file with all its links; each begins at another vault, so that all vaults work at once."""
    listed = []
    for number, part in enumerate(sorted(manifest.parts, key=lambda part: -part.bytes)):
        turn = number % max(1, len(links))
        where = [dict(link(part.key)) for link in (*links[turn:], *links[:turn])]
        listed.append({"name": part.name, "sha256": part.sha256, "bytes": part.bytes, "sources": where})
    return listed


def link_maker(spec: VaultSpec, credentials: Mapping[str, str]) -> Link:
    """How a host gets an object of this vault: a signed link, or an address and a token beside it."""
    return _gcs_links(spec, credentials) if spec.kind == "gcs" else _s3_links(spec, credentials)


def _s3_links(spec: VaultSpec, credentials: Mapping[str, str]) -> Link:
    """Links signed with the key: each opens one object for an hour."""
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=spec.endpoint,
        region_name=spec.region,
        aws_access_key_id=credentials["access_key_id"],
        aws_secret_access_key=credentials["secret_access_key"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )

    def link(key: str) -> Mapping[str, Any]:
        params = {"Bucket": spec.bucket, "Key": key}
        url = client.generate_presigned_url("get_object", Params=params, ExpiresIn=LINK_S)
        return {"vault": spec.name, "url": url, "headers": {}}

    return link


def _gcs_links(spec: VaultSpec, credentials: Mapping[str, str]) -> Link:
    """Addresses, with the token in a header."""
    headers = {"Authorization": f"Bearer {credentials['token']}"}

    def link(key: str) -> Mapping[str, Any]:
        path = f"/download/storage/v1/b/{spec.bucket}/o/{quote(key, safe='')}?alt=media"
        return {"vault": spec.name, "url": spec.endpoint.rstrip("/") + path, "headers": headers}

    return link


def pack_code(package: Path) -> bytes:
    """Our package as a tar file that is the same byte for byte whenever the code is."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(package.rglob("*")):
            inside = path.relative_to(package.parent)
            if path.is_file() and not LEFT_OUT.intersection(inside.parts) and path.suffix != ".pyc":
                tar.addfile(_entry(path, inside), io.BytesIO(path.read_bytes()))
    return packed.getvalue()


def _entry(path: Path, inside: Path) -> tarfile.TarInfo:
    """A tar entry without anything of this machine in it."""
    entry = tarfile.TarInfo(str(inside))
    entry.size = path.stat().st_size
    entry.mode = 0o644
    return entry


def _put(vault: Vault, manifest: Manifest, code: bytes, directory: Path, signer: Signer) -> int:
    """Put what one vault lacks; how many bytes that was."""
    if (there := vault.get(manifest.key)) is not None:
        if Manifest.from_bytes(there, signer.verify) is None:
            raise VaultError(
                f"{vault.name} holds a manifest that we did not sign: {manifest.key}",
                "Somebody else put or altered it there.",
                "Nothing is installed by it. Find out who writes to this vault, remove it, and run this again.",
            )
        return 0
    new = 0
    for part in manifest.parts:
        if not vault.exists(part.key):
            vault.put_new(part.key, code if part.name == CODE else (directory / part.name).read_bytes())
            new += part.bytes
    vault.put_new(manifest.key, manifest.to_bytes(signer.sign))
    return new


def _answers(vault: Vault, key: str) -> bool:
    """Whether a vault holds this object; one that does not answer is taken not to."""
    try:
        return vault.exists(key)
    except ResilienceError:
        return False
