"""Program: stands at a bucket's address after the account was closed, and says so to everybody."""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from resilience.lab import closed, places


def handler(vendor: str) -> type[BaseHTTPRequestHandler]:
    """A request handler that gives this vendor's answer whatever was asked."""
    answer = closed.bucket_answer(vendor)

    class Closed(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _refuse(self) -> None:
            self.close_connection = True
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _refuse  # noqa: N815 - the base class's names

    return Closed


def main() -> None:
    """Serve until the lab goes: `closed_bucket VENDOR`."""
    vendor = sys.argv[1]
    ThreadingHTTPServer((places.place(vendor).bucket_address, 80), handler(vendor)).serve_forever()


if __name__ == "__main__":
    main()
