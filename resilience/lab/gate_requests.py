"""What a request to Google Cloud Storage is about: which object, and what is to happen to it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.requests import Request

HEAD_LIMIT = 1 << 20
"""The name of an uploaded object stands in the first part of the body; it is never longer than this."""
_JSON = "/storage/v1/b"
_READ = {"GET", "HEAD"}


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that goes on over several requests."""

    bucket: str
    key: str
    only_new: bool


@dataclass(frozen=True, slots=True)
class Meaning:
    """`verb` is one of create, read, list, remove, look (at the bucket)."""

    verb: str
    bucket: str
    key: str
    only_new: bool = False
    """The client itself asks that nothing be written over (`ifGenerationMatch=0`)."""


Found = tuple[Meaning | None, bytes]


async def meaning_of(request: Request, body: AsyncIterator[bytes], uploads: dict[str, Upload]) -> Found:
    """What it is about, and what of the body was read to know that; None where it is not known."""
    path = request.scope["raw_path"].decode()
    method = request.method
    if path.startswith("/upload"):
        return await _upload(request, path, body, uploads)
    if path.startswith("/download"):
        path = path.removeprefix("/download")
    if path.startswith(("/b/", "/storage/v1/b/")):
        return _json_api(request, method, path.partition("/b/")[2]), b""
    if path.startswith((_JSON, "/batch")):
        return None, b""
    return _plain(request, method, path), b""


def _json_api(request: Request, method: str, rest: str) -> Meaning | None:
    """`BUCKET`, `BUCKET/o` and `BUCKET/o/OBJECT`; no other resource is for customers."""
    parts = rest.split("/")
    bucket = unquote(parts[0])
    match parts[1:]:
        case []:
            return Meaning("look", bucket, "") if method in _READ else None
        case ["o"]:
            return Meaning("list", bucket, request.query_params.get("prefix", "")) if method in _READ else None
        case ["o", key]:
            return _object(method, bucket, unquote(key))
    return None


def _plain(request: Request, method: str, path: str) -> Meaning | None:
    """`/BUCKET/OBJECT`, as browsers and restic read objects."""
    bucket, _, key = path.removeprefix("/").partition("/")
    if not key:
        listing = method in _READ and bool(bucket)
        return Meaning("list", unquote(bucket), request.query_params.get("prefix", "")) if listing else None
    return _object(method, unquote(bucket), unquote(key))


def _object(method: str, bucket: str, key: str) -> Meaning | None:
    if method in _READ:
        return Meaning("read", bucket, key)
    if method == "DELETE":
        return Meaning("remove", bucket, key)
    return Meaning("replace", bucket, key)


async def _upload(request: Request, path: str, body: AsyncIterator[bytes], uploads: dict[str, Upload]) -> Found:
    """The object is named by the query, by the body's first part, or by how the upload began."""
    known = uploads.get(request.query_params.get("upload_id", "") or path.rpartition("/")[2])
    if known:
        return Meaning("create", known.bucket, known.key, known.only_new), b""
    _, _, rest = path.partition("/b/")
    bucket = unquote(rest.partition("/")[0])
    if not bucket or request.method not in {"POST", "PUT"}:
        return None, b""
    only_new = request.query_params.get("ifGenerationMatch") == "0"
    if name := request.query_params.get("name"):
        return Meaning("create", bucket, name, only_new), b""
    first = b""
    async for piece in body:
        first += piece
        if key := _name_in(request.headers.get("content-type", ""), first):
            return Meaning("create", bucket, key, only_new), first
        if len(first) > HEAD_LIMIT:
            break
    return None, b""


def _name_in(content_type: str, start: bytes) -> str | None:
    """The object's name from its metadata, as far as they were read."""
    if content_type.startswith("multipart/"):
        start, boundary, _ = start.partition(b"\r\n\r\n")[2].partition(b"\r\n--")
        if not boundary:
            return None
    try:
        name = json.loads(start).get("name")
    except (ValueError, AttributeError):
        return None
    return name if isinstance(name, str) else None
