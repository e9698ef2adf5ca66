"""Makes a host's environment small, tries it, and lists what the supplies hold."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import sys
from pathlib import Path

# What our code on a host imports first; a trimmed environment must still be able to.
NEEDED = [
    "alembic.command",
    "argon2",
    "boto3",
    "cryptography.fernet",
    "google.cloud.storage",
    "httptools",
    "jinja2",
    "multipart",
    "PIL.Image",
    "prometheus_client",
    "psycopg",
    "psycopg_pool",
    "pyrage",
    "pydantic",
    "sh",
    "sqlalchemy.dialects.postgresql.psycopg",
    "stamina",
    "starlette.applications",
    "structlog",
    "uvicorn",
    "uvloop",
    "webpush",
    "zstandard",
]
# AWS describes hundreds of services; the vaults speak one.
SERVICES_KEPT = {"s3"}


def trim(site: Path) -> None:
    """Drop tests, programs, type hints and descriptions of services that nobody here calls."""
    for folder in [*site.rglob("tests"), *site.rglob("test"), *site.rglob("__pycache__"), site / "bin"]:
        shutil.rmtree(folder, ignore_errors=True)
    for path in [*site.rglob("*.pyi"), *site.rglob("*.c"), *site.rglob("*.pyx")]:
        path.unlink()
    for data in (site / "botocore/data", site / "boto3/data"):
        for service in data.iterdir():
            if service.is_dir() and service.name not in SERVICES_KEPT:
                shutil.rmtree(service)


def try_out(site: Path) -> None:
    """Import what hosts import, and make one S3 client."""
    sys.path.insert(0, str(site))
    for name in NEEDED:
        importlib.import_module(name)
    boto3 = importlib.import_module("boto3")
    boto3.client("s3", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none")  # noqa: S106


def manifest(folder: Path) -> None:
    """Write `manifest.json`: each file's digest and size, and one digest of all."""
    files = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            files[path.name] = {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}
    whole = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    text = json.dumps({"files": files, "digest": whole}, indent=2, sort_keys=True)
    (folder / "manifest.json").write_text(text + "\n")


if __name__ == "__main__":
    {"trim": trim, "try": try_out, "manifest": manifest}[sys.argv[1]](Path(sys.argv[2]))
