"""A real HTTP proxy in front of a real store, that does to requests what bad vendors do."""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "expect"}


class Proxy:
    """How the store in front of which it stands behaves now; every field may be changed at any time."""

    def __init__(self, target: str, scheme: str) -> None:
        self.target = urllib.parse.urlsplit(target).netloc
        self.address = ""
        self._scheme = scheme
        self.requests = self.puts = 0
        self.asked: deque[str] = deque(maxlen=10_000)
        """The last requests, each as its method and path."""
        self.held: list[str] = []
        """Those that came while nothing was answered."""
        self.hang = threading.Event()
        """While it is clear nothing is answered."""
        self.be_well()

    def be_well(self) -> None:
        """Pass everything on as it is."""
        self.delay = 0.0
        """Seconds before each answer."""
        self.status: int | None = None
        """Answer everything with this instead."""
        self.code = "Trouble"
        """What such an answer says is wrong."""
        self.writes_only = False
        """Only PUT and POST are treated so, not what is read."""
        self.truncate = False
        """Close half-way through each body that is read."""
        self.flip = False
        """One bit of each chunk that is read is altered."""
        self.accept_and_fail = False
        """Do what a PUT asks, and then say that it failed."""
        self.only = ""
        """It behaves badly only where this pattern is found in a path."""
        self.hidden: frozenset[str] = frozenset()
        """Keys that no listing names yet."""
        self.hang.set()

    @property
    def endpoint(self) -> str:
        """Where clients are to go."""
        return f"{self._scheme}://{self.address}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else an answer's body waits 40 ms until its headers are acknowledged
    proxy: Proxy

    def handle(self) -> None:
        """Serve until the client goes, however it goes."""
        with suppress(ConnectionError):
            super().handle()

    def _pass(self) -> None:
        proxy = self.proxy
        proxy.requests += 1
        asked = f"{self.command} {urllib.parse.unquote(self.path)}"
        proxy.asked.append(asked)
        body = self._body()
        writes = self.command in {"PUT", "POST"}
        proxy.puts += writes
        if self._concerns() and (writes or not proxy.writes_only):
            if not proxy.hang.is_set():
                proxy.held.append(asked)
            proxy.hang.wait()
            time.sleep(proxy.delay)
            if proxy.status is not None:
                self._answer(proxy.status, [], f"<Error><Code>{proxy.code}</Code></Error>".encode())
                return
        status, headers, data = self._ask(body)
        if proxy.accept_and_fail and writes:
            self._answer(500, [], b"<Error><Code>InternalError</Code></Error>")
        elif proxy.flip and self.command == "GET" and status == 200 and self._gives_chunk() and data:
            self._answer(status, headers, data[:-1] + bytes([data[-1] ^ 1]))
        else:
            self._answer(status, headers, data)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass  # noqa: N815 - the base class's names

    def _concerns(self) -> bool:
        """Whether this request is one of those that the vault treats badly."""
        return re.search(self.proxy.only, urllib.parse.unquote(self.path)) is not None

    def _gives_chunk(self) -> bool:
        """Whether a GET is for what is in an object under wal/; of GCS one may also ask what it knows of an object."""
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        return "wal/" in path and not path.startswith("/storage/")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self._read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self._read_line().split(b";")[0], 16):
            parts.append(self._read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _read(self, size: int) -> bytes:
        """So much of a body; a client that ended in the middle of it put nothing, as at a real store."""
        data = self.rfile.read(size)
        if len(data) < size:
            raise ConnectionError
        return data

    def _read_line(self) -> bytes:
        line = self.rfile.readline()
        if not line:
            raise ConnectionError
        return line

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        proxy = self.proxy
        upstream = HTTPConnection(proxy.target, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP:
                    upstream.putheader(name, value if name != "Host" or self._signed() else proxy.target)
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            kept = HOP - {"content-length"} if self.command == "HEAD" else HOP
            headers = [(n, v) for n, v in answer.getheaders() if n.lower() not in kept]
            return answer.status, headers, self._listed(answer.read())
        except (OSError, HTTPException):
            return 502, [], b""
        finally:
            upstream.close()

    def _signed(self) -> bool:
        """S3 signs the name that was called; GCS leads by it."""
        return "AWS4" in self.headers.get("Authorization", "")

    def _listed(self, data: bytes) -> bytes:
        """A listing without what is hidden; anything else as it is."""
        hidden = self.proxy.hidden
        if not hidden or self.command != "GET":
            return data
        if "list-type" in self.path:

            def shown(entry: re.Match[bytes]) -> bytes:
                return b"" if entry["key"].decode() in hidden else entry[0]

            return re.sub(rb"<Contents>.*?<Key>(?P<key>.*?)</Key>.*?</Contents>", shown, data)
        if self.path.split("?")[0].endswith("/o"):
            value = json.loads(data)
            value["items"] = [item for item in value.get("items") or [] if item["name"] not in hidden]
            return json.dumps(value).encode()
        return data

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        try:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            cut = self.proxy.truncate and self._concerns() and self.command == "GET" and status in (200, 206)
            if self.command != "HEAD":
                self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = self.close_connection or cut
        except OSError:  # the client has gone
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@contextmanager
def proxy(target: str, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy for as long as the block lasts; with `tls` it shows that certificate."""
    made = Proxy(target, "https" if tls else "http")
    handler = type("Handler", (_Handler,), {"proxy": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    made.address = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.hang.set()
        server.shutdown()
        server.server_close()
