"""A vendor's account API for tests: a real HTTP server that hands out addresses instead of hosts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "token-sesame-open"


@dataclass
class Vendor:
    """What the vendor knows and was asked; a test may change its mind."""

    hosts: dict[str, dict[str, str]] = field(default_factory=dict)
    buckets: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    wanted: list[dict[str, str]] = field(default_factory=list)
    """Bodies of requests for hosts."""
    refusal: tuple[int, str, str] | None = None
    """Status, content type and body that everybody gets, as from a closed account."""
    hold: threading.Event | None = None
    """A request for a host is granted, and not answered before this is set."""
    asked: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def answer(self, method: str, path: str, token: str, body: dict[str, str]) -> tuple[int, str, str]:
        """Status, content type and body of one answer."""
        self.calls.append(f"{method} {path}")
        if self.refusal:
            return self.refusal
        if token != f"Bearer {TOKEN}":
            return _refuse(401, "AuthFailure")
        if method == "POST" and path == "/v1/hosts":
            return self._host(body)
        if method == "POST" and path == "/v1/buckets":
            self.buckets.add(body["name"])
            return _json(201, {"name": body["name"]})
        if method == "GET" and path == "/v1/account":
            return _json(200, {"name": "acorn", "status": "active"})
        return self._one(method, path.rsplit("/", 1)[-1])

    def _host(self, body: dict[str, str]) -> tuple[int, str, str]:
        self.wanted.append(body)
        known = self.hosts.get(body["name"])
        if known and known["key"] != body["host_key_private"]:
            return _refuse(409, "NameTaken")
        number = len(self.hosts) + 1
        made = {"id": f"i-{number}", "name": body["name"], "address": f"198.18.1.{99 + number}"}
        made["key"] = body["host_key_private"]
        host = self.hosts.setdefault(body["name"], made)
        self.asked.set()
        if self.hold:
            self.hold.wait(180)
        return _json(200 if known else 201, _shown(host))

    def _one(self, method: str, host: str) -> tuple[int, str, str]:
        name = next((name for name, made in self.hosts.items() if made["id"] == host), None)
        if name is None:
            return _refuse(404, "NotFound")
        if method == "DELETE":
            del self.hosts[name]
            return 204, "text/plain", ""
        return _json(200, _shown(self.hosts[name]))


def _shown(host: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in host.items() if name != "key"}


def _json(status: int, body: dict[str, Any]) -> tuple[int, str, str]:
    return status, "application/json", json.dumps(body)


def _refuse(status: int, code: str) -> tuple[int, str, str]:
    return _json(status, {"error": {"code": code, "message": f"It is {code}."}})


@contextmanager
def account_server() -> Iterator[Vendor]:
    """A vendor on loopback for as long as the block lasts."""
    vendor = Vendor()

    class Door(BaseHTTPRequestHandler):
        def _any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            token = self.headers.get("Authorization", "")
            status, kind, text = vendor.answer(self.command, self.path, token, body)
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _any  # noqa: N815

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        vendor.url = f"http://127.0.0.1:{server.server_port}"
        yield vendor
        server.shutdown()
