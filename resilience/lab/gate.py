"""Program: the door in front of fake-gcs-server, which knows neither credentials nor rights.

It reads the bearer token, works out which object a request is about, and asks `rights`. As at
Google, who may create but not delete cannot write over an object. Uploads of one object go in
one at a time, so that `ifGenerationMatch=0` holds between two that come at once.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from resilience.lab import closed, kit, places
from resilience.lab.buckets import INNER_GCS
from resilience.lab.gate_requests import Meaning, Upload, meaning_of
from resilience.model import rights

_HOP = {"connection", "keep-alive", "transfer-encoding", "host", "authorization", "upgrade", "te", "trailer"}
_METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"]


class Gate:
    """Rights in front of one vendor's bucket."""

    def __init__(self, directory: Path, vendor: str) -> None:
        self._directory = directory
        self._vendor = vendor
        principals = kit.read_principals(directory / "kit", vendor)
        self._principals = {f"Bearer {entry['token']}": name for name, entry in principals.items()}
        self._uploads: dict[str, Upload] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._inner = httpx.AsyncClient(
            base_url=f"http://{INNER_GCS}", timeout=60, limits=httpx.Limits(max_connections=200)
        )

    async def serve(self, request: Request) -> Response:
        """Answer one request: closed, refused, or passed on."""
        if closed.is_closed(self._directory, self._vendor):
            said = closed.bucket_answer(self._vendor)
            return Response(said.body, said.status, media_type=said.content_type)
        principal = self._principals.get(request.headers.get("authorization", ""))
        if principal is None:
            return refusal(401, "authError", "Invalid Credentials")
        body = request.stream()
        meaning, first = await meaning_of(request, body, self._uploads)
        if meaning is None or not self._in_bucket(meaning):
            return refusal(403, "forbidden", f"{principal} does not have access to this.")
        if not rights.may(principal, meaning.verb, meaning.key):
            return refusal(403, "forbidden", f"{principal} may not {meaning.verb} {meaning.key!r}.")
        if meaning.verb == "create":
            return await self._create(request, principal, meaning, first, body)
        return await self._pass_on(request, meaning, first, body)

    def _in_bucket(self, meaning: Meaning) -> bool:
        return meaning.bucket == places.VAULT_BUCKET

    async def _create(
        self, request: Request, principal: str, meaning: Meaning, first: bytes, body: AsyncIterator[bytes]
    ) -> Response:
        """An upload: one at a time for one object, and nothing written over without the right to."""
        async with self._alone(meaning.key):
            replacing = rights.may(principal, "replace", meaning.key) or rights.may(principal, "remove", meaning.key)
            if (meaning.only_new or not replacing) and await self._exists(meaning):
                if meaning.only_new:
                    return refusal(412, "conditionNotMet", "At least one of the pre-conditions did not hold.")
                return refusal(403, "forbidden", f"{principal} may not replace {meaning.key!r}.")
            return await self._pass_on(request, meaning, first, body, whole=True)

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            yield
        if not lock.locked():
            self._locks.pop(key, None)

    async def _exists(self, meaning: Meaning) -> bool:
        found = await self._inner.get(f"/storage/v1/b/{meaning.bucket}/o/{quote(meaning.key, safe='')}")
        return found.status_code == httpx.codes.OK

    async def _pass_on(
        self, request: Request, meaning: Meaning, first: bytes, body: AsyncIterator[bytes], *, whole: bool = False
    ) -> Response:
        """Send it in and stream the answer out."""

        async def content() -> AsyncIterator[bytes]:
            if first:
                yield first
            async for piece in body:
                yield piece

        headers = [(name, value) for name, value in request.headers.items() if name not in _HOP]
        headers.append(("host", f"{places.place(self._vendor).bucket_address}"))
        target = httpx.URL(f"http://{INNER_GCS}", raw_path=request.scope["raw_path"] + _query(request))
        sent = self._inner.build_request(
            request.method, target, headers=headers, content=content() if _has_body(request) else None
        )
        answer = await self._inner.send(sent, stream=True)
        kept = {name: value for name, value in answer.headers.items() if name not in _HOP}
        if whole:
            await answer.aread()
            self._remember(answer, meaning)
            kept.pop("content-encoding", None)
            kept.pop("content-length", None)
            return Response(answer.content, answer.status_code, kept)
        return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose))

    def _remember(self, answer: httpx.Response, meaning: Meaning) -> None:
        """A resumable upload goes on at an address of its own, which names no object."""
        location = answer.headers.get("location", "")
        if "upload_id=" in location:
            self._uploads[location.rpartition("upload_id=")[2].partition("&")[0]] = Upload(
                meaning.bucket, meaning.key, meaning.only_new
            )


def _query(request: Request) -> bytes:
    query: bytes = request.scope["query_string"]
    return b"?" + query if query else b""


def _has_body(request: Request) -> bool:
    return "content-length" in request.headers or "transfer-encoding" in request.headers


def refusal(status: int, reason: str, message: str) -> Response:
    """An error as Google's JSON interface writes it."""
    detail = {"domain": "global", "reason": reason, "message": message}
    return JSONResponse({"error": {"code": status, "message": message, "errors": [detail]}}, status)


def main() -> None:
    """Serve until the lab goes: `gate DIRECTORY VENDOR`."""
    directory, vendor = Path(sys.argv[1]), sys.argv[2]
    gate = Gate(directory, vendor)
    application = Starlette(routes=[Route("/{path:path}", gate.serve, methods=_METHODS)])
    address = places.place(vendor).bucket_address
    uvicorn.run(application, host=address, port=80, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
