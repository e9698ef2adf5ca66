"""Botocore's session, with a bound to what it reads into memory by itself: all but the body of an object that is there."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from urllib3.exceptions import HTTPError
from urllib3.exceptions import ReadTimeoutError as Stalled

from resilience.adapters.bounded import bounded


class BoundedSession(URLLib3Session):
    """Takes the place of a client's own session."""

    def send(self, request: Any) -> Any:
        """The answer, whole where it is no such body."""
        whole, request.stream_output = not request.stream_output, True
        answer: Any = super().send(request)
        if whole or answer.status_code != HTTPStatus.OK:
            try:
                answer._content = bounded(answer.raw.stream(), answer.raw.close)  # noqa: SLF001 - it reads without end
            except Stalled as error:
                raise ReadTimeoutError(endpoint_url=request.url, error=error) from error
            except HTTPError as error:
                raise ConnectionClosedError(endpoint_url=request.url, request=request, error=error) from error
        return answer
