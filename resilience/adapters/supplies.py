"""Port Supplies: what hosts are set up from, in every vault; and where a host gets it.

`supplies/<sha256>/<name>` holds a file, `supplies/manifest-<digest>.json` says which belong together.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from resilience.errors import MissingPart
from resilience.model import VaultSpec
from resilience.ports import Vault

CODE = "src.tar.gz"
LEFT_OUT = frozenset({"__pycache__", "lab", "cli", "render"})
"""Folders of ours that no host needs."""
LINK_S = 3600
PREFIX = "supplies/manifest-"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the supplies."""

    name: str
    sha256: str
    bytes: int

    @property
    def key(self) -> str:
        """Where a vault keeps it."""
        return f"supplies/{self.sha256}/{self.name}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Files that belong together."""

    parts: tuple[Part, ...]
    made: float = 0.0

    @property
    def digest(self) -> str:
        """Names exactly these files."""
        listed = sorted((part.name, part.sha256) for part in self.parts)
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()

    @property
    def key(self) -> str:
        """Where a vault keeps this manifest."""
        return f"{PREFIX}{self.digest}.json"

    def to_bytes(self) -> bytes:
        """As the object in a vault."""
        parts = [{"name": p.name, "sha256": p.sha256, "bytes": p.bytes} for p in self.parts]
        return json.dumps({"made": self.made, "parts": parts}, indent=1, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """From the object in a vault."""
        loaded = json.loads(data)
        return cls(tuple(Part(**part) for part in loaded["parts"]), float(loaded["made"]))


class Access(Protocol):
    """How a host gets an object of a vault, with a right that ends."""

    def source(self, key: str) -> Mapping[str, Any]:
        """{vault, url, headers} for one object."""


@dataclass(frozen=True)
class S3Access:
    """Links signed with the reader's key: they work for one object and one hour."""

    spec: VaultSpec
    access_key_id: str
    secret_access_key: str

    def source(self, key: str) -> Mapping[str, Any]:
        """A signed link."""
        import boto3
        from botocore.config import Config

        client = boto3.client(
            "s3",
            endpoint_url=self.spec.endpoint,
            region_name=self.spec.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )
        params = {"Bucket": self.spec.bucket, "Key": key}
        url = client.generate_presigned_url("get_object", Params=params, ExpiresIn=LINK_S)
        return {"vault": self.spec.name, "url": url, "headers": {}}


@dataclass(frozen=True)
class GcsAccess:
    """The object's address, and the reader's token beside it."""

    spec: VaultSpec
    token: str

    def source(self, key: str) -> Mapping[str, Any]:
        """An address and the header that opens it."""
        path = f"/download/storage/v1/b/{self.spec.bucket}/o/{quote(key, safe='')}?alt=media"
        return {
            "vault": self.spec.name,
            "url": self.spec.endpoint.rstrip("/") + path,
            "headers": {"Authorization": f"Bearer {self.token}"},
        }


@dataclass(frozen=True)
class VaultSupplies:
    """The supplies of this checkout, and the vaults that are to hold them."""

    vaults: Mapping[str, Vault]
    directory: Path
    """As bootstrap made it: `manifest.json` and the files it names."""
    code: Path
    """The folder of our package."""

    def put(self) -> Mapping[str, Any]:
        """Put what a vault lacks, all vaults at once, manifests last; {digest, bytes, vaults}."""
        manifest, contents = self.manifest()
        with ThreadPoolExecutor(max(1, len(self.vaults))) as pool:
            new = pool.map(lambda vault: _put(vault, manifest, contents, self.directory), self.vaults.values())
            put = dict(zip(self.vaults, new, strict=True))
        whole = sum(part.bytes for part in manifest.parts)
        return {"digest": manifest.digest, "bytes": whole, "vaults": put}

    def manifest(self) -> tuple[Manifest, bytes]:
        """What belongs together now, and our own code as one of its files."""
        try:
            listed = json.loads((self.directory / "manifest.json").read_text())["files"]
        except (OSError, ValueError, KeyError) as error:
            raise MissingPart(
                f"{self.directory} holds no supplies", str(error), "Run scripts/bootstrap: it makes them anew."
            ) from error
        code = pack_code(self.code)
        parts = [Part(name, about["sha256"], about["bytes"]) for name, about in sorted(listed.items())]
        parts.append(Part(CODE, hashlib.sha256(code).hexdigest(), len(code)))
        return Manifest(tuple(parts), time.time()), code


def newest(vaults: Iterable[Vault]) -> Manifest:
    """The newest manifest any of these vaults holds; for a machine that made no supplies itself."""
    found: list[Manifest] = []
    for vault in vaults:
        for key in vault.list(PREFIX):
            data = vault.get(key)
            if data is not None:
                found.append(Manifest.from_bytes(data))
    if not found:
        raise MissingPart(
            "No vault holds supplies",
            f"None of those asked has an object under {PREFIX}.",
            "Put them there from a machine that ran scripts/bootstrap: resilience up.",
        )
    return max(found, key=lambda manifest: manifest.made)


def sources(manifest: Manifest, accesses: Sequence[Access]) -> list[dict[str, Any]]:
    """For each file, where a host may get it; each file begins with another vault, to share the load."""
    listed = []
    for number, part in enumerate(sorted(manifest.parts, key=lambda part: -part.bytes)):
        turn = number % max(1, len(accesses))
        order = [*accesses[turn:], *accesses[:turn]]
        where = [dict(access.source(part.key)) for access in order]
        listed.append({"name": part.name, "sha256": part.sha256, "bytes": part.bytes, "sources": where})
    return listed


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


def _put(vault: Vault, manifest: Manifest, code: bytes, directory: Path) -> int:
    """Put what one vault lacks; how many bytes that was."""
    if vault.exists(manifest.key):
        return 0
    new = 0
    for part in manifest.parts:
        if not vault.exists(part.key):
            vault.put_new(part.key, code if part.name == CODE else (directory / part.name).read_bytes())
            new += part.bytes
    vault.put_new(manifest.key, manifest.to_bytes())
    return new
