"""A vault in a Google Cloud Storage bucket, by google-cloud-storage with a bearer token."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, Literal

import requests
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import GoogleAPICallError, NotFound, PreconditionFailed, RetryError
from google.auth.exceptions import GoogleAuthError
from google.cloud.storage import Client
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY
from google.oauth2.credentials import Credentials
from requests.adapters import HTTPAdapter

from resilience.adapters.answers import OddAnswer
from resilience.adapters.bounded import PIECE, Held, bounded
from resilience.adapters.google_credentials import quiet
from resilience.adapters.vendor_words import explained, fault, in_words, said
from resilience.adapters.versions import remove_each
from resilience.errors import UsageError, VaultError, VendorClosed
from resilience.model import VaultSpec
from resilience.replication import layout

TIMEOUT = (2, 10)
RETRY = DEFAULT_RETRY.with_timeout(5).with_delay(initial=0.2, maximum=1.0)
CLOSED = re.compile(
    r"CONSUMER_SUSPENDED|GCP_SUSPENDED|ACCOUNT_STATE_INVALID|BILLING_DISABLED|accountDisabled"
    r"|UserProjectAccountProblem|CONSUMER_INVALID"
)
"""What Google's interfaces answer once an account is suspended or its billing closed."""
CONFLICT = 409
SILENT = frozenset({CONFLICT, 429, 500, 502, 503, 504})
"""Busy (also with the same object) or broken: nothing was refused."""
NO_ANSWER = (RetryError, DataCorruption, requests.RequestException, OSError)
LISTING = "storage#objects"
MEDIA = "alt=media"
"""In the address of an object's body, which goes into a file that has a bound."""
REMOVED = frozenset({b"", b"null"})
"""What comes with a removal: Google says nothing, and fake-gcs-server this."""


def _to_be_tried_again(error: Exception) -> bool:
    """What the library tries again, and a conflict: another create of the same object is under way, which may still die."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status == CONFLICT or bool(RETRY._predicate(error))  # noqa: SLF001 - it has no other door


PUT_RETRY = RETRY.with_predicate(_to_be_tried_again)
os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
"""Else the library asks for the bucket's description in threads of its own, over and over where nobody answers."""

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"


def _credentials(token: str, service_account: str) -> Any:
    """A bearer token as it is, or a service account's key (JSON), which gets tokens of its own."""
    if token:
        return Credentials(token=token)  # type: ignore[no-untyped-call]
    from google.oauth2 import service_account as accounts

    try:
        return accounts.Credentials.from_service_account_info(json.loads(service_account), scopes=[SCOPE])  # type: ignore[no-untyped-call]
    except (ValueError, GoogleAuthError) as error:
        raise UsageError(
            "The service account's key cannot be used",
            str(error) or "It is not the JSON that Google gives.",
            "Put the whole JSON of the key into the kit's vaults/VAULT.json, as service_account.",
        ) from error


def _refuse_odd(answer: requests.Response, **_: object) -> None:
    """OddAnswer to a redirect, which requests would follow up to 30 times, and to a removal that is answered with a page."""
    if answer.is_redirect:
        told = answer.headers["Location"]
        raise OddAnswer(
            f"It answers {answer.status_code}, a redirect to {told}; none is followed. The fleet file names the endpoint."
        )
    if MEDIA not in str(answer.request.url) or not answer.ok:
        answer._content = bounded(answer.iter_content(PIECE), answer.close)  # noqa: SLF001 - it reads without end
    if answer.request.method == "DELETE" and answer.ok and answer.content.strip() not in REMOVED:
        raise OddAnswer("It answers with a page where a store says nothing more.")


def _refuse_nothing(blob: Any) -> None:
    """OddAnswer where a store said yes, and not to which generation of the object."""
    if blob.generation is None:
        raise OddAnswer("It says yes without a generation, as a page that stands in a store's place does.")


class _Closed(HTTPAdapter):
    """In the place of a connection, once a vault is closed."""

    def send(self, *_: Any, **__: Any) -> requests.Response:
        """Nothing is sent."""
        raise requests.ConnectionError("this vault is closed")


class GcsVault:
    """Objects of one bucket, written once."""

    def __init__(self, spec: VaultSpec, token: str = "", service_account: str = "") -> None:
        self.name = spec.name
        self._vendor = spec.vendor
        client = Client(
            project=spec.vendor,
            credentials=_credentials(token, service_account),
            client_options=ClientOptions(api_endpoint=spec.endpoint),
        )
        quiet(client._credentials)  # noqa: SLF001 - the client keeps a copy of its own
        self.session = client._http  # noqa: SLF001 - the pool has no other door
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, HTTPAdapter(pool_maxsize=32))
        self.session.hooks["response"].append(_refuse_odd)
        self._client = client
        self._bucket = client.bucket(spec.bucket)

    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` if absent, by `ifGenerationMatch=0`."""
        blob = self._bucket.blob(key)
        with self._doing("put", key):
            try:
                blob.upload_from_string(
                    data,
                    content_type="application/octet-stream",
                    if_generation_match=0,
                    timeout=TIMEOUT,
                    retry=PUT_RETRY,
                )
            except PreconditionFailed:
                return False
            _refuse_nothing(blob)
        return True

    def get(self, key: str) -> bytes | None:
        """The whole object; None only on a 404.

        What came altered is read again, and where it stays so given as it came: readers go by signatures and hashes, and
        take it from another vault. As an error it would stand for a vault that says nothing, without which no end is proven.
        """
        with self._doing("get", key):
            try:
                try:
                    return self._download(key, "auto")
                except DataCorruption:
                    return self._download(key, None)
            except NotFound:
                return None

    def _download(self, key: str, checksum: Literal["auto"] | None) -> bytes:
        held = Held(layout.most(key))
        self._bucket.blob(key).download_to_file(
            held, raw_download=True, timeout=TIMEOUT, retry=RETRY, checksum=checksum
        )
        return held.getvalue()

    def exists(self, key: str) -> bool:
        """Whether `key` is there."""
        blob = self._bucket.blob(key)
        with self._doing("look for", key):
            try:
                blob.reload(timeout=TIMEOUT, retry=RETRY)
            except NotFound:
                return False
            _refuse_nothing(blob)
        return True

    def list(self, prefix: str) -> list[str]:
        """Keys with this prefix, in order."""
        with self._doing("list", prefix):
            return sorted(blob.name for blob in self._blobs(prefix))

    def delete(self, key: str) -> None:
        """Remove `key`; no error when absent."""
        with self._doing("delete", key), suppress(NotFound):
            self._bucket.blob(key).delete(timeout=TIMEOUT, retry=RETRY)

    def erase(self, key: str) -> None:
        """Remove every generation of `key` that nothing holds, the newest first."""

        def remove(generation: int) -> None:
            with self._doing("erase", key), suppress(NotFound):
                self._bucket.blob(key, generation=generation).delete(timeout=TIMEOUT, retry=RETRY)

        with self._doing("erase", key):
            kept = sorted(blob.generation for blob in self._blobs(key, versions=True) if blob.name == key)
        remove_each(reversed(kept), remove)

    def hidden(self, prefix: str) -> Sequence[str]:
        """Keys of which only older generations are kept."""
        with self._doing("list the generations below", prefix):
            kept = {blob.name for blob in self._blobs(prefix, versions=True)}
        return sorted(kept - set(self.list(prefix)))

    def put_over(self, key: str, data: bytes) -> None:
        """Write over whatever is there: nothing here does that, and a probe tries whether a thief could."""
        blob = self._bucket.blob(key)
        with self._doing("write over", key):
            blob.upload_from_string(data, timeout=TIMEOUT, retry=RETRY)
            _refuse_nothing(blob)

    def close(self) -> None:
        """Idle connections end, and none is made any more."""
        left = [adapter.poolmanager for adapter in self.session.adapters.values()]
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, _Closed())
        for pools in (manager.pools for manager in left):
            for key in pools.keys():  # noqa: SIM118 - no mapping to go through
                pools[key].close()  # `clear` only forgets them, until Python finds that nobody needs them

    def _blobs(self, prefix: str, *, versions: bool = False) -> Iterator[Any]:
        """What is listed; OddAnswer to a page that is no listing, which the library takes for an empty one."""
        found = self._client.list_blobs(
            self._bucket, prefix=prefix, versions=versions or None, timeout=TIMEOUT, retry=RETRY
        )
        for page in found.pages:
            if page.raw_page.get("kind") != LISTING:
                raise OddAnswer(f"It answers with {page.raw_page.get('kind')} where a store answers with {LISTING}.")
            yield from page

    def _doing(self, did: str, key: str) -> AbstractContextManager[None]:
        return explained(self._explain, did, key)

    def _explain(self, did: str, key: str, error: Exception) -> VaultError | VendorClosed:
        """The error that tells an account that is closed from a store that has trouble."""
        response: Any = None if isinstance(error, DataCorruption) else getattr(error, "response", None)  # that was read
        text = f"{said(error)} {getattr(response, 'text', '')}"
        if (found := CLOSED.search(text)) is not None:
            return VendorClosed(self._vendor, found.group())
        status = getattr(error, "code", None) if isinstance(error, GoogleAPICallError) else None
        silent = isinstance(error, NO_ANSWER) or status in SILENT
        return fault(error, silent=silent)(
            f"{self.name} could not {did} {key}",
            in_words(error),
            f"Look at {self.name}'s endpoint, at whether its bucket is yours, and at the rights of vaults/{self.name}.json in the kit.",
        )
