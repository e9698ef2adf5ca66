"""Program: damages what one vault holds, from outside: `damage DIRECTORY hijack|bit-rot VAULT SEED`.

`hijack` tries with ship's own credentials to remove and to write over every object, and says how
many of each it managed. `bit-rot` changes one byte in a tenth of the chunks and pictures.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import httpx

from resilience.lab import kit, places

GARBAGE = b"destroyed"
ROTTEN_SHARE = 10


class Objects(Protocol):
    """A bucket as one principal sees it; True where the store did what was asked."""

    def keys(self) -> list[str]:
        """All objects."""

    def read(self, key: str) -> bytes:
        """One object."""

    def remove(self, key: str) -> bool:
        """Try to remove."""

    def write(self, key: str, data: bytes) -> bool:
        """Try to write over."""


class S3Objects:
    """Objects behind S3's protocol."""

    def __init__(self, vendor: places.Place, credentials: dict[str, str]) -> None:
        import boto3

        self._s3 = boto3.client(
            "s3",
            endpoint_url=f"http://{vendor.bucket_address}",
            region_name="us-east-1",
            aws_access_key_id=credentials["access_key_id"],
            aws_secret_access_key=credentials["secret_access_key"],
        )

    def keys(self) -> list[str]:
        """All objects."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=places.VAULT_BUCKET)
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        """One object."""
        return self._s3.get_object(Bucket=places.VAULT_BUCKET, Key=key)["Body"].read()

    def remove(self, key: str) -> bool:
        """Try to remove."""
        from botocore.exceptions import ClientError

        try:
            self._s3.delete_object(Bucket=places.VAULT_BUCKET, Key=key)
        except ClientError:
            return False
        return True

    def write(self, key: str, data: bytes) -> bool:
        """Try to write over."""
        from botocore.exceptions import ClientError

        try:
            self._s3.put_object(Bucket=places.VAULT_BUCKET, Key=key, Body=data)
        except ClientError:
            return False
        return True


class GcsObjects:
    """Objects behind Google's JSON interface."""

    def __init__(self, vendor: places.Place, credentials: dict[str, str]) -> None:
        self._http = httpx.Client(
            base_url=f"http://{vendor.bucket_address}",
            headers={"Authorization": f"Bearer {credentials['token']}"},
            timeout=30,
        )
        self._all = f"/storage/v1/b/{places.VAULT_BUCKET}/o"

    def keys(self) -> list[str]:
        """All objects."""
        found, token = [], ""
        while True:
            answer = self._http.get(self._all, params={"pageToken": token} if token else {})
            page = answer.raise_for_status().json()
            found += [item["name"] for item in page.get("items", [])]
            token = page.get("nextPageToken", "")
            if not token:
                return found

    def read(self, key: str) -> bytes:
        """One object."""
        return self._http.get(f"{self._all}/{quote(key, safe='')}?alt=media").raise_for_status().content

    def remove(self, key: str) -> bool:
        """Try to remove."""
        return self._http.delete(f"{self._all}/{quote(key, safe='')}").is_success

    def write(self, key: str, data: bytes) -> bool:
        """Try to write over."""
        where = f"/upload{self._all}?uploadType=media&name={quote(key, safe='')}"
        return self._http.post(where, content=data).is_success


def open_as(directory: Path, vault: str, principal: str) -> Objects:
    """The vault's bucket as one principal sees it."""
    vendor = places.place(vault)
    credentials = kit.read_principals(directory / "kit", vault)[principal]
    return GcsObjects(vendor, credentials) if vendor.bucket == "gcs" else S3Objects(vendor, credentials)


def hijack(directory: Path, vault: str) -> dict[str, int]:
    """Whoever has the primary's host knows every name it wrote."""
    known = open_as(directory, vault, "operator").keys()
    thief = open_as(directory, vault, "ship")
    removed = sum(thief.remove(key) for key in known)
    written_over = sum(thief.write(key, GARBAGE) for key in known)
    return {"objects": len(known), "removed": removed, "written_over": written_over}


def rot(directory: Path, vault: str, seed: int) -> dict[str, int]:
    """Change one byte in every tenth chunk and picture (at least one of each)."""
    operator = open_as(directory, vault, "operator")
    chance = random.Random(seed)  # noqa: S311 - a seeded choice, so that a drill can be repeated
    changed, everything = 0, sorted(operator.keys())
    for branch in ("wal/", "media/"):
        keys = [key for key in everything if key.startswith(branch)]
        for key in chance.sample(keys, -(-len(keys) // ROTTEN_SHARE)):
            data = bytearray(operator.read(key))
            if data:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
                changed += operator.write(key, bytes(data))
    return {"changed": changed}


def main() -> None:
    """Do it and print what was done."""
    directory, fault, vault, seed = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    done = hijack(directory, vault) if fault == "hijack" else rot(directory, vault, seed)
    sys.stdout.write(json.dumps(done) + "\n")


if __name__ == "__main__":
    main()
