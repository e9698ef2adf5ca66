"""Program: a vendor's account API. It really boots hosts and makes buckets; closed, it says so and does nothing.

======  ===================  ==========================================================
POST    /v1/hosts            {name, authorized_key, host_key_private, size} -> a host
GET     /v1/hosts            {hosts: [...]}
GET     /v1/hosts/{id}       one host
DELETE  /v1/hosts/{id}       204
POST    /v1/buckets          {name} -> {name}; asking again is no error
GET     /v1/buckets          {buckets: [...]}
DELETE  /v1/buckets/{name}   204
GET     /v1/account          {name, status: "active"}
======  ===================  ==========================================================
"""

from __future__ import annotations

import hmac
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resilience.errors import ResilienceError
from resilience.lab import buckets, closed, places
from resilience.lab import host as hosts
from resilience.lab.hostel import Conflict, Hostel
from resilience.lab.processes import Home

Next = Callable[[Request], Awaitable[Response]]
HOST_KEYS = ("name", "authorized_key", "host_key_private", "size")


class AccountApi:
    """One vendor's control plane."""

    def __init__(self, directory: Path, vendor: str, rootfs: Path, token: str) -> None:
        self.directory = directory
        self.vendor = places.place(vendor)
        self._token = token
        self._hostel = Hostel(directory, self.vendor, rootfs, Home())
        self._log = directory / "vendors" / vendor / "requests.jsonl"
        self._writing = threading.Lock()

    async def guard(self, request: Request, call_next: Next) -> Response:
        """Closed accounts first, then the token; every request is logged with its answer."""
        if closed.is_closed(self.directory, self.vendor.name):
            said = closed.account_answer(self.vendor.name)
            response = Response(said.body, said.status, media_type=said.content_type)
        elif not self._allowed(request):
            response = refusal(401, "AuthFailure", "The token is missing or wrong.")
        else:
            response = await call_next(request)
        self._note(request, response.status_code)
        return response

    def _allowed(self, request: Request) -> bool:
        given = request.headers.get("authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode())

    def _note(self, request: Request, status: int) -> None:
        line = {
            "at": time.time(),
            "method": request.method,
            "path": request.url.path,
            "from": request.client.host if request.client else "",
            "status": status,
        }
        with self._writing, self._log.open("a") as log:
            log.write(json.dumps(line) + "\n")

    def account(self, _request: Request) -> Response:
        """Who you are and whether you may."""
        return JSONResponse({"name": self.vendor.name, "status": "active"})

    def list_hosts(self, _request: Request) -> Response:
        """All hosts of the account."""
        return JSONResponse({"hosts": [self._hostel.describe(host) for host in self._hostel.all()]})

    def get_host(self, request: Request) -> Response:
        """One host."""
        host = self._hostel.get(request.path_params["id"])
        return JSONResponse(self._hostel.describe(host)) if host else no_such("host")

    def create_host(self, request: Request) -> Response:
        """Boot a host; the same request again gives the same host, another one under its name 409."""
        wanted = request.state.body
        if lacking := [key for key in HOST_KEYS[:3] if not isinstance(wanted.get(key), str) or not wanted[key]]:
            return refusal(422, "InvalidParameter", f"Missing: {', '.join(lacking)}.")
        try:
            hosts.public_key(wanted["host_key_private"])
        except ResilienceError as error:
            return refusal(422, "InvalidParameter", str(error))
        try:
            host, made = self._hostel.ensure({key: str(wanted.get(key, "small")) for key in HOST_KEYS})
        except Conflict as error:
            return refusal(409, "NameTaken", str(error))
        except ResilienceError as error:
            return refusal(500, "InternalError", str(error))
        return JSONResponse(self._hostel.describe(host), 201 if made else 200)

    def delete_host(self, request: Request) -> Response:
        """Give a host back, its disk with it."""
        return Response(status_code=204) if self._hostel.discard(request.path_params["id"]) else no_such("host")

    def list_buckets(self, _request: Request) -> Response:
        """All buckets of the account."""
        return JSONResponse({"buckets": buckets.names(self.directory, self.vendor)})

    def create_bucket(self, request: Request) -> Response:
        """Make a bucket if there is none of this name."""
        name = request.state.body.get("name")
        if not isinstance(name, str) or not name:
            return refusal(422, "InvalidParameter", "Missing: name.")
        try:
            buckets.create(self.directory, self.vendor, name)
        except ResilienceError as error:
            return refusal(422, "InvalidParameter", error.why)
        return JSONResponse({"name": name}, 201)

    def delete_bucket(self, request: Request) -> Response:
        """Remove a bucket and everything in it."""
        found = buckets.delete(self.directory, self.vendor, request.path_params["name"])
        return Response(status_code=204) if found else no_such("bucket")


def refusal(status: int, code: str, message: str) -> Response:
    """An error in this API's own form."""
    return JSONResponse({"error": {"code": code, "message": message}}, status)


def no_such(thing: str) -> Response:
    """404."""
    return refusal(404, "NotFound", f"There is no such {thing}.")


def with_body(work: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    """Read the JSON body, then do the work in a thread: booting a host takes a second."""
    from starlette.concurrency import run_in_threadpool

    async def endpoint(request: Request) -> Response:
        try:
            body: Any = await request.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return refusal(400, "InvalidParameter", "The body is not a JSON object.")
        request.state.body = body
        return await run_in_threadpool(work, request)

    return endpoint


def application(api: AccountApi) -> Starlette:
    """The routes."""

    def not_found(_request: Request, _error: Exception) -> Response:
        return no_such("path")

    def unforeseen(_request: Request, error: Exception) -> Response:
        return refusal(500, "InternalError", f"{type(error).__name__}: {error}")

    routes = [
        Route("/v1/account", api.account),
        Route("/v1/hosts", api.list_hosts, methods=["GET"]),
        Route("/v1/hosts", with_body(api.create_host), methods=["POST"]),
        Route("/v1/hosts/{id}", api.get_host, methods=["GET"]),
        Route("/v1/hosts/{id}", api.delete_host, methods=["DELETE"]),
        Route("/v1/buckets", api.list_buckets, methods=["GET"]),
        Route("/v1/buckets", with_body(api.create_bucket), methods=["POST"]),
        Route("/v1/buckets/{name}", api.delete_bucket, methods=["DELETE"]),
    ]
    guard = Middleware(BaseHTTPMiddleware, dispatch=api.guard)
    handlers = {404: not_found, HTTPException: not_found, Exception: unforeseen}
    return Starlette(routes=routes, middleware=[guard], exception_handlers=handlers)


def main() -> None:
    """Serve until the lab goes: `account DIRECTORY VENDOR ROOTFS`."""
    directory, vendor, rootfs = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    token = (directory / "kit" / "accounts" / f"{vendor}.txt").read_text().strip()
    api = AccountApi(directory, vendor, rootfs, token)
    uvicorn.run(application(api), host=api.vendor.account_address, port=80, log_level="warning")


if __name__ == "__main__":
    main()
