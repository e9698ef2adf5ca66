"""Whether a site serves is told by its status line: what a host answers beside that is not taken in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import pytest

from resilience.adapters.plaza import PlazaOnHost
from resilience.adapters.shells import Shells
from resilience.model import SiteOutputs


class _Endless(BaseHTTPRequestHandler):
    """Answers 200 to `/readyz`, 503 to all else, and never ends."""

    over: threading.Event

    def do_GET(self) -> None:
        """A byte now and then."""
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()
        with suppress(OSError):
            while not self.over.wait(0.05):
                self.wfile.write(b"x")

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    """Where it answers."""
    _Endless.over = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endless)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    _Endless.over.set()
    server.shutdown()
    server.server_close()


def test_an_answer_without_end_is_not_read(address: str) -> None:
    """Else a thief's host would fill the memory of whoever asks for the fleet's status, and hold him up."""
    app = PlazaOnHost(cast(Shells, None), Path(), "plaza.test")
    said: list[bool] = []
    asks = threading.Thread(
        target=lambda: said.append(app.serving(SiteOutputs("acorn", "acorn", (address,), ("",)))), daemon=True
    )
    asks.start()
    asks.join(20)
    assert said == [True]
