"""Whole objects of an S3 bucket by libcurl, which signs and sends in C: a tenth of the CPU of a client's call."""

from __future__ import annotations

import hashlib
import re
import threading
from base64 import b64encode
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

import pycurl
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import BotoCoreError
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

from resilience.adapters.bounded import LARGEST, refuse_above

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TIMEOUTS_S = (2, 10)
"""For a connection, and without a byte: the client's own, as a lease's read must not be given up early on a busy machine."""
GET, PUT = "s3.GetObject", "s3.PutObject"
DOTS = re.compile(r"(^|/)\.\.?(/|$)")
"""libcurl takes such parts out of a path before it signs it."""
NO_SUCH_KEY = b"<Code>NoSuchKey</Code>"


class Absent:
    """The store says that it has no such object."""


class Question(NamedTuple):
    """A request, before it is signed."""

    operation: str
    key: str
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes | None = None


class Answer(NamedTuple):
    """What a store answered, whole."""

    status: int
    data: bytes
    told: int
    """Bytes that its headers promise; -1 where they say nothing."""
    again_s: int
    """Seconds until it may be asked again; 0 where it names none."""


class Direct:
    """One try at each object; whatever is not plainly there, absent or taken is left to the client, who knows what it means.

    Whoever counts or forbids the client's requests, by its events, counts or forbids these; `verify` is whom it trusts.
    """

    def __init__(self, client: S3Client, verify: Any, bucket: str, access_key_id: str, secret_access_key: str) -> None:
        endpoint = client.meta.endpoint_url
        self._root = f"{endpoint.rstrip('/')}/{bucket}/"
        self._access_key_id, self._secret_access_key = access_key_id, secret_access_key
        self._signature = f"aws:amz:{client.meta.region_name}:s3"
        scheme = urlsplit(endpoint).scheme
        self._roots = str(get_cert_path(verify)) if scheme == "https" else ""
        self._proxy: str = get_environ_proxies(endpoint).get(scheme, "")
        self._events: Any = client.meta.events  # the stubs know half of it
        self._idle: deque[pycurl.Curl] = deque()
        self._closed = False

    def get(self, key: str, most: int) -> bytes | Absent | None:
        """What the store gives at once; None where the client has to be asked."""
        answer = self._send(Question(GET, key), most)
        if answer is None:
            return None
        if answer.status == HTTPStatus.OK:
            return answer.data if answer.told == len(answer.data) else None
        return Absent() if answer.status == HTTPStatus.NOT_FOUND and NO_SUCH_KEY in answer.data else None

    def put_new(self, key: str, data: bytes) -> bool | None:
        """Whether the store made the object, or has one; None where the client has to be asked, as it may have made it."""
        # what has more than a MiB libcurl offers first, by a header that it does not sign
        headers = {"If-None-Match": "*", "Content-MD5": md5(data)}
        answer = self._send(Question(PUT, key, headers, data))
        if answer is None:
            return None
        if answer.status == HTTPStatus.PRECONDITION_FAILED:
            return False
        return True if answer.status == HTTPStatus.OK and not answer.data else None  # trouble may be told with 200

    def close(self) -> None:
        """Idle connections end, and those at work once their answer is there."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _send(self, question: Question, most: int = LARGEST) -> Answer | None:
        """The whole answer; None where there is none, and where libcurl would ask for another key."""
        if DOTS.search(question.key):
            return None
        url = self._root + quote(question.key, safe="/~")
        method = "GET" if question.body is None else "PUT"
        headers: Any = {**question.headers}  # the stubs know of one class of them alone
        request = AWSPreparedRequest(method, url, headers, question.body, stream_output=False)
        try:
            self._events.emit_until_response(f"before-send.{question.operation}", request=request)
            with self._handle() as handle:
                answer = self._ask(handle, url, question, most)
        except (BotoCoreError, pycurl.error):
            return None
        heard = {"status_code": answer.status, "headers": {"Retry-After": str(answer.again_s)}}
        self._events.emit(f"response-received.{question.operation}", response_dict=heard)
        return answer

    @contextmanager
    def _handle(self) -> Iterator[pycurl.Curl]:
        """One that nobody uses, with the connection that it had."""
        try:
            handle = self._idle.pop()
        except IndexError:
            handle = pycurl.Curl()
        try:
            yield handle
        finally:
            handle.reset()  # what was sent and came is let go; the connection stays
            self._idle.append(handle)
            if self._closed:
                self.close()

    def _ask(self, handle: pycurl.Curl, url: str, question: Question, most: int) -> Answer:
        """One try; pycurl.error where no whole answer comes, TooLarge for more than the bound."""
        pieces = list[bytes]()
        self._set_up(handle, url, question)
        handle.setopt(pycurl.MAXFILESIZE_LARGE, most)
        handle.setopt(pycurl.WRITEFUNCTION, pieces.append)
        try:
            handle.perform()
        except pycurl.error as error:
            if error.args[0] == pycurl.E_FILESIZE_EXCEEDED:
                refuse_above(most, most + 1)
            raise
        told = handle.getinfo(pycurl.CONTENT_LENGTH_DOWNLOAD_T)
        return Answer(handle.getinfo(pycurl.RESPONSE_CODE), b"".join(pieces), told, handle.getinfo(pycurl.RETRY_AFTER))

    def _set_up(self, handle: pycurl.Curl, url: str, question: Question) -> None:
        connect_s, silent_s = TIMEOUTS_S
        headers = {"Content-Type": "", **question.headers}  # an empty one is not sent, and all others are signed
        if self._roots:
            headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"  # as the client: TLS keeps the body whole
            handle.setopt(pycurl.CAINFO, self._roots)
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.HTTPHEADER, [f"{name}: {said}".rstrip() for name, said in headers.items()])
        if question.body is not None:
            handle.setopt(pycurl.POSTFIELDS, question.body)
            handle.setopt(pycurl.CUSTOMREQUEST, "PUT")
        handle.setopt(pycurl.USERAGENT, "resilience")
        handle.setopt(pycurl.AWS_SIGV4, self._signature)
        handle.setopt(pycurl.USERNAME, self._access_key_id)
        handle.setopt(pycurl.PASSWORD, self._secret_access_key)
        handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        handle.setopt(pycurl.PROXY, self._proxy)  # also none: else libcurl looks for one by rules of its own
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, int(connect_s * 1000))
        handle.setopt(pycurl.LOW_SPEED_LIMIT, 1)
        handle.setopt(pycurl.LOW_SPEED_TIME, int(silent_s))
        handle.setopt(pycurl.NOSIGNAL, 1)
        if threading.current_thread() is threading.main_thread():
            handle.setopt(pycurl.NOPROGRESS, 0)
            handle.setopt(pycurl.XFERINFOFUNCTION, _let_signals_in)


def _let_signals_in(*_: object) -> None:
    """Python's handlers of signals run while Python does: what one raises ends the request."""


def md5(data: bytes) -> str:
    """What the store compares with what came: SeaweedFS takes a request that ends after its headers for an empty object."""
    return b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
