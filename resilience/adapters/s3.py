"""A vault in an S3 bucket, by boto3: conditional create, path-style addresses, short timeouts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

from resilience.adapters.answers import closed
from resilience.adapters.s3_direct import SMALL, TAKEN, Absent, Direct, md5
from resilience.adapters.vendor_words import in_words
from resilience.adapters.versions import remove_each
from resilience.errors import VaultError, VaultSilent, VendorClosed
from resilience.model import VaultSpec

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSRequest
    from mypy_boto3_s3 import S3Client

CONNECTIONS = 32
ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
CONFLICT = 409
"""To a conditional create: another create of the object is under way, which may still die."""
TRIES, PAUSE_S = 3, 0.3


class S3Vault:
    """Objects of one bucket, written once."""

    def __init__(self, spec: VaultSpec, access_key_id: str, secret_access_key: str) -> None:
        self.name = spec.name
        self._vendor = spec.vendor
        self._bucket = spec.bucket
        self.client: S3Client = boto3.client(
            "s3",
            endpoint_url=spec.endpoint,
            region_name=spec.region,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            config=Config(
                s3={"addressing_style": "path"},
                connect_timeout=2,
                read_timeout=10,
                retries={"mode": "standard", "total_max_attempts": TRIES},
                max_pool_connections=CONNECTIONS,
                user_agent="resilience",  # else boto3 makes one anew, in parts, for each request
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        self.client.meta.events.register("request-created.s3.PutObject", _send_at_once_if_small)
        events: Any = self.client.meta.events  # the stubs know of no handler that answers
        events.register("needs-retry.s3.PutObject", _again_after_a_conflict)
        who = Credentials(access_key_id, secret_access_key)
        self._direct = Direct(self.client, spec.bucket, who, CONNECTIONS)

    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` if absent, by `If-None-Match: *`."""
        made = self._direct.put_new(key, data)
        if made is not None:
            return made
        try:
            self.client.put_object(Bucket=self._bucket, Key=key, Body=data, ContentMD5=md5(data), IfNoneMatch="*")
        except ClientError as error:
            if _status(error) == TAKEN:
                return False
            raise self._explain("put", key, error) from error
        except BotoCoreError as error:
            raise self._explain("put", key, error) from error
        return True

    def get(self, key: str) -> bytes | None:
        """The whole object; None only on a 404."""
        found = self._direct.get(key)
        if found is not None:
            return None if isinstance(found, Absent) else found
        try:
            return self.client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if _code(error) in ABSENT:
                return None
            raise self._explain("get", key, error) from error
        except (BotoCoreError, OSError) as error:
            raise self._explain("get", key, error) from error

    def first(self, key: str) -> bytes | None:
        """The oldest version of `key` that the bucket keeps; None where there never was one."""
        try:
            pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=key)
            kept = [v for page in pages for v in page.get("Versions", []) if v["Key"] == key]
            if not kept:
                return None
            oldest = min(reversed(kept), key=lambda version: version["LastModified"])  # a store lists the newest first
            found = self.client.get_object(Bucket=self._bucket, Key=key, VersionId=oldest["VersionId"])
            return found["Body"].read()
        except (ClientError, BotoCoreError, OSError) as error:
            raise self._explain("read the first version of", key, error) from error

    def exists(self, key: str) -> bool:
        """Whether `key` is there."""
        try:
            self.client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if _code(error) in ABSENT:
                return False
            raise self._explain("look for", key, error) from error
        except BotoCoreError as error:
            raise self._explain("look for", key, error) from error
        return True

    def list(self, prefix: str) -> list[str]:
        """Keys with this prefix, in order."""
        try:
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))
        except (ClientError, BotoCoreError) as error:
            raise self._explain("list", prefix, error) from error

    def delete(self, key: str) -> None:
        """Remove `key`; no error when absent."""
        try:
            self.client.delete_object(Bucket=self._bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            raise self._explain("delete", key, error) from error

    def erase(self, key: str) -> None:
        """Remove every version of `key` that nothing holds: what hides it first and the oldest last, so that what is left stays listed."""

        def remove(version: str) -> None:
            try:
                self.client.delete_object(Bucket=self._bucket, Key=key, VersionId=version)
            except (ClientError, BotoCoreError) as error:
                raise self._explain("erase", key, error) from error

        try:
            pages = list(self.client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=key))
            hides = [v["VersionId"] for page in pages for v in page.get("DeleteMarkers", []) if v["Key"] == key]
            kept = [v["VersionId"] for page in pages for v in page.get("Versions", []) if v["Key"] == key]
        except (ClientError, BotoCoreError) as error:
            raise self._explain("erase", key, error) from error
        remove_each((*hides, *kept), remove)

    def hidden(self, prefix: str) -> Sequence[str]:
        """Keys that a delete hid, of which versions are kept."""
        try:
            pages = list(self.client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix))
        except (ClientError, BotoCoreError) as error:
            raise self._explain("list the versions below", prefix, error) from error
        deleted = {mark["Key"] for page in pages for mark in page.get("DeleteMarkers", []) if mark["IsLatest"]}
        return sorted({v["Key"] for page in pages for v in page.get("Versions", []) if v["Key"] in deleted})

    def locked_until(self, key: str) -> float | None:
        """Until when the bucket's lock holds `key`; None where it has none."""
        try:
            told: Mapping[str, Any] = self.client.head_object(Bucket=self._bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            raise self._explain("look for the lock of", key, error) from error
        until: datetime | None = told.get("ObjectLockRetainUntilDate")
        return None if until is None else until.timestamp()

    def put_over(self, key: str, data: bytes) -> None:
        """Write over whatever is there: nothing here does that, and a probe tries whether a thief could."""
        try:
            self.client.put_object(Bucket=self._bucket, Key=key, Body=data)
        except (ClientError, BotoCoreError) as error:
            raise self._explain("write over", key, error) from error

    def written_over(self) -> dict[str, Sequence[str]]:
        """Objects of which there is more than what was put first: the versions since, by key."""
        found: dict[str, list[tuple[datetime, str]]] = {}
        try:
            for page in self.client.get_paginator("list_object_versions").paginate(Bucket=self._bucket):
                for version in reversed(page.get("Versions", [])):
                    found.setdefault(version["Key"], []).append((version["LastModified"], version["VersionId"]))
        except (ClientError, BotoCoreError) as error:
            raise self._explain("list the versions of", "its objects", error) from error
        ordered = {key: sorted(versions, key=lambda v: v[0]) for key, versions in found.items() if len(versions) > 1}
        return {key: [version for _, version in versions[1:]] for key, versions in ordered.items()}

    def remove_versions(self, key: str, versions: Iterable[str]) -> None:
        """Remove exactly these versions."""
        try:
            for version in versions:
                self.client.delete_object(Bucket=self._bucket, Key=key, VersionId=version)
        except (ClientError, BotoCoreError) as error:
            raise self._explain("remove versions of", key, error) from error

    def close(self) -> None:
        """Idle connections end, and none is made any more."""
        self.client.meta.events.register_first("before-send.s3", _refuse_to_send)
        self._direct.close()
        self.client.close()

    def _explain(self, did: str, key: str, error: Exception) -> VaultError | VendorClosed:
        """The error that tells an account that is closed from a store that has trouble."""
        return closed(self._vendor, error) or (VaultSilent if _silent(error) else VaultError)(
            f"{self.name} could not {did} {key}",
            in_words(error),
            f"Look at {self.name}'s endpoint, at whether its bucket is yours, and at the rights of vaults/{self.name}.json in the kit.",
        )


def _silent(error: Exception) -> bool:
    """Whether nothing was answered, or that the store is busy (also with the same object) or broken; 501 is an answer."""
    if not isinstance(error, ClientError):
        return True
    status = _status(error)
    return status in {CONFLICT, 429} or (status >= 500 and status != 501)  # noqa: PLR2004


def _send_at_once_if_small(request: AWSRequest, **_: object) -> None:
    """A small body goes with its headers: to ask first (`Expect: 100-continue`, as boto3 does) costs one more journey."""
    if request.data is not None and request.data.getbuffer().nbytes <= SMALL:
        del request.headers["Expect"]


def _again_after_a_conflict(response: Any, attempts: int, **_: object) -> float | None:
    """Seconds to wait before the next try where another create of the same object was under way; boto3 tries none by itself."""
    conflict = response is not None and response[0].status_code == CONFLICT
    return PAUSE_S if conflict and attempts < TRIES else None


def _refuse_to_send(request: AWSPreparedRequest, **_: object) -> None:
    """In the place of a connection, once a vault is closed."""
    raise EndpointConnectionError(endpoint_url=request.url, error="this vault is closed")


def _status(error: ClientError) -> int:
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def _code(error: ClientError) -> str:
    details: Any = error.response.get("Error", {})
    return str(details.get("Code", ""))
