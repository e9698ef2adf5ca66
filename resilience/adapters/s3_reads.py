"""Whole objects of an S3 bucket by botocore's signature and connections alone: half of what one costs by a client's call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from botocore.httpsession import URLLib3Session
from botocore.parsers import create_parser
from botocore.utils import get_environ_proxies

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TIMEOUTS_S: Any = (2, 10)  # the stubs know of one for both
"""For a connection, and between two pieces: the client's own, as a lease's read must not be given up early on a busy machine."""
GET = "s3.GetObject"
THERE, ABSENT = 200, 404


class Absent:
    """The store says that it has no such object."""


class Reads:
    """One try at each object; whatever is not plainly there or absent is left to the client, who knows what it means.

    Whoever counts or forbids the client's requests, by its events, counts or forbids these.
    """

    def __init__(self, client: S3Client, bucket: str, credentials: Credentials, connections: int) -> None:
        endpoint = client.meta.endpoint_url
        self._root = f"{endpoint.rstrip('/')}/{bucket}/"
        self._auth = S3SigV4Auth(credentials, "s3", client.meta.region_name)
        proxies = get_environ_proxies(endpoint)
        self._session = URLLib3Session(timeout=TIMEOUTS_S, max_pool_connections=connections, proxies=proxies)
        self._parser = create_parser("rest-xml")
        self._events: Any = client.meta.events  # the stubs know half of it

    def get(self, key: str) -> bytes | Absent | None:
        """What the store gives at once; None where the client has to be asked."""
        request = AWSRequest("GET", self._root + quote(key, safe="/~"), {"User-Agent": "resilience"})
        self._auth.add_auth(request)
        prepared = request.prepare()
        try:
            self._events.emit_until_response(f"before-send.{GET}", request=prepared)
            answer = self._session.send(prepared)
        except BotoCoreError:
            return None
        heard = {"status_code": answer.status_code, "headers": answer.headers}
        self._events.emit(f"response-received.{GET}", response_dict=heard)
        data: bytes = answer.content
        if answer.status_code == THERE:
            return data if answer.headers.get("Content-Length") == str(len(data)) else None
        return Absent() if answer.status_code == ABSENT and self._code(data) == "NoSuchKey" else None

    def close(self) -> None:
        """Idle connections end."""
        self._session.close()

    def _code(self, body: bytes) -> str:
        answer = {"status_code": ABSENT, "headers": {}, "body": body}
        told = self._parser.parse(answer, None)  # type: ignore[arg-type]  # an error has no shape
        return str(told["Error"].get("Code", ""))
