"""Whole objects of an S3 bucket by botocore's signature and connections alone: half of what one costs by a client's call."""

from __future__ import annotations

import hashlib
import io
import socket
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from botocore.parsers import create_parser
from botocore.utils import get_environ_proxies
from urllib3.exceptions import HTTPError
from urllib3.exceptions import ReadTimeoutError as Stalled

from resilience.adapters.bounded import bounded

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TIMEOUTS_S: Any = (2, 10)  # the stubs know of one for both
"""For a connection, and between two pieces: the client's own, as a lease's read must not be given up early on a busy machine."""
AT_ONCE: Any = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
"""The client's own: else a body waits until its headers were acknowledged, and a store takes 40 ms for that."""
GET, PUT = "s3.GetObject", "s3.PutObject"
THERE, ABSENT, TAKEN = 200, 404, 412
SMALL = 128 << 10
"""Bytes that are on their way before anybody could have answered."""


class Bounded(URLLib3Session):
    """Botocore's session, with a bound to what it reads into memory by itself: all but the body of an object that is there."""

    def send(self, request: Any, most: int | None = None) -> Any:
        """The answer, whole where it is no such body."""
        whole, request.stream_output = not request.stream_output, True
        answer: Any = super().send(request)
        if whole or answer.status_code != THERE:
            try:
                answer._content = bounded(answer.raw.stream(), answer.raw.close, most)  # noqa: SLF001 - it reads without end
            except Stalled as error:
                raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
            except HTTPError as error:
                raise ConnectionClosedError(endpoint_url=request.url, request=request, error=error) from error
        return answer


class Absent:
    """The store says that it has no such object."""


class Direct:
    """One try at each object; whatever is not plainly there, absent or taken is left to the client, who knows what it means.

    Whoever counts or forbids the client's requests, by its events, counts or forbids these.
    """

    def __init__(self, client: S3Client, bucket: str, credentials: Credentials, connections: int) -> None:
        endpoint = client.meta.endpoint_url
        self._root = f"{endpoint.rstrip('/')}/{bucket}/"
        self._auth = S3SigV4Auth(credentials, "s3", client.meta.region_name)
        proxies = get_environ_proxies(endpoint)
        self._session = Bounded(
            timeout=TIMEOUTS_S, max_pool_connections=connections, proxies=proxies, socket_options=AT_ONCE
        )
        self._parser = create_parser("rest-xml")
        self._events: Any = client.meta.events  # the stubs know half of it

    def get(self, key: str, most: int) -> bytes | Absent | None:
        """What the store gives at once; None where the client has to be asked."""
        answer = self._send(GET, AWSRequest("GET", self._at(key), {"User-Agent": "resilience"}), most)
        if answer is None:
            return None
        data: bytes = answer.content
        if answer.status_code == THERE:
            return data if answer.headers.get("Content-Length") == str(len(data)) else None
        return Absent() if answer.status_code == ABSENT and self._code(data) == "NoSuchKey" else None

    def put_new(self, key: str, data: bytes) -> bool | None:
        """Whether the store made the object, or has one; None where the client has to be asked, as it may have made it."""
        headers = {"User-Agent": "resilience", "If-None-Match": "*", "Content-MD5": md5(data)}
        answer = self._send(PUT, AWSRequest("PUT", self._at(key), headers, _body(data)))
        if answer is None:
            return None
        if answer.status_code == TAKEN:
            return False
        return True if answer.status_code == THERE and not answer.content else None  # trouble may be told with 200

    def close(self) -> None:
        """Idle connections end."""
        self._session.close()

    def _at(self, key: str) -> str:
        return self._root + quote(key, safe="/~")

    def _send(self, operation: str, request: AWSRequest, most: int | None = None) -> AWSResponse | None:
        """The whole answer; None where there is none."""
        request.context["has_streaming_input"] = True  # as the client: under TLS the checksum is signed, not every byte
        self._auth.add_auth(request)
        prepared = request.prepare()
        if isinstance(request.data, io.BytesIO):
            headers: Any = prepared.headers  # the stubs know of text alone
            headers["Expect"] = b"100-continue"  # as bytes: else the connection does not wait for the answer
        try:
            self._events.emit_until_response(f"before-send.{operation}", request=prepared)
            answer: AWSResponse = self._session.send(prepared, most)
        except BotoCoreError:
            return None
        heard = {"status_code": answer.status_code, "headers": answer.headers}
        self._events.emit(f"response-received.{operation}", response_dict=heard)
        return answer

    def _code(self, body: bytes) -> str:
        answer = {"status_code": ABSENT, "headers": {}, "body": body}
        told = self._parser.parse(answer, None)  # type: ignore[arg-type]  # an error has no shape
        return str(told["Error"].get("Code", ""))


def _body(data: bytes) -> bytes | io.BytesIO:
    """A large body in pieces, each of which has its own time to be sent; the store is asked first whether it wants it."""
    return data if len(data) <= SMALL else io.BytesIO(data)


def md5(data: bytes) -> str:
    """What the store compares with what came: SeaweedFS takes a request that ends after its headers for an empty object."""
    return b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
