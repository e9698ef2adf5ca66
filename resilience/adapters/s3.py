"""A vault in an S3 bucket, by boto3: conditional create, path-style addresses, short timeouts."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from functools import partial
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError, XMLPullParser

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError
from botocore.parsers import ResponseParserFactory
from botocore.utils import parse_timestamp

from resilience.adapters.answers import OddAnswer, closed
from resilience.adapters.bounded import PIECE, bounded
from resilience.adapters.bounded_session import BoundedSession
from resilience.adapters.s3_direct import Absent, Direct, md5
from resilience.adapters.vendor_words import explained, fault, in_words
from resilience.adapters.versions import remove_each
from resilience.errors import VaultError, VendorClosed
from resilience.model import VaultSpec
from resilience.replication import layout

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSRequest
    from mypy_boto3_s3 import S3Client

CONNECTIONS = 32
SMALL = 128 << 10
"""Bytes that are on their way before anybody could have answered."""
ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
TAKEN = 412
CONFLICT = 409
"""To a conditional create: another create of the object is under way, which may still die."""
TRIES, PAUSE_S = 3, 0.3
MOVED, REFUSED = 300, 400
LISTINGS = {"ListObjectsV2": "ListBucketResult", "ListObjectVersions": "ListVersionsResult"}
"""What the answer's first element must be."""
WITHOUT_BODY = frozenset({"PutObject", "DeleteObject"})


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
        endpoint: Any = self.client._endpoint  # type: ignore[attr-defined]  # noqa: SLF001 - made with its options, and no other door
        endpoint.http_session.__class__ = BoundedSession
        endpoint._response_parser_factory = _parsers()  # noqa: SLF001 - the same
        self.client.meta.events.register("request-created.s3.PutObject", _send_at_once_if_small)
        events: Any = self.client.meta.events  # the stubs know of no handler that answers
        events.register("needs-retry.s3.PutObject", _again_after_a_conflict)
        events.register_last("before-parameter-build.s3", _follow_no_redirect)
        events.register_last("before-parse.s3", _refuse_odd)  # after botocore's own look for trouble told with 200
        trusted = endpoint.http_session._verify  # noqa: SLF001 - `AWS_CA_BUNDLE` among what it comes from
        self._direct = Direct(self.client, trusted, spec.bucket, access_key_id, secret_access_key)

    def put_new(self, key: str, data: bytes) -> bool:
        """Create `key` if absent, by `If-None-Match: *`."""
        with self._doing("put", key):
            made = self._direct.put_new(key, data)
            if made is not None:
                return made
            try:
                self.client.put_object(Bucket=self._bucket, Key=key, Body=data, ContentMD5=md5(data), IfNoneMatch="*")
            except ClientError as error:
                if _status(error) == TAKEN:
                    return False
                raise
        return True

    def get(self, key: str) -> bytes | None:
        """The whole object; None only on a 404."""
        with self._doing("get", key):
            found = self._direct.get(key, layout.most(key))
            if found is not None:
                return None if isinstance(found, Absent) else found
            try:
                return _whole(self.client.get_object(Bucket=self._bucket, Key=key), layout.most(key))
            except ClientError as error:
                if _code(error) in ABSENT:
                    return None
                raise

    def first(self, key: str) -> bytes | None:
        """The oldest version of `key` that the bucket keeps; None where there never was one."""
        with self._doing("read the first version of", key):
            kept = _since_removed(list(self._versions(key))).get(key)
            if not kept:
                return None
            found = self.client.get_object(Bucket=self._bucket, Key=key, VersionId=kept[0])
            return _whole(found, layout.most(key))

    def versions_of(self, prefix: str) -> tuple[builtins.list[str], frozenset[str]]:
        """Keys with this prefix, in order, and those of which the bucket keeps more than one version; what a delete hid is not there."""
        with self._doing("list the versions below", prefix):
            named, hidden = builtins.list[str](), set[str]()
            for page in self._versions(prefix):
                named += [_key(version) for version in page.get("Versions", [])]
                hidden.update(mark["Key"] for mark in page.get("DeleteMarkers", []) if mark["IsLatest"])
        named.sort()
        over = frozenset(one for one, next_one in pairwise(named) if one == next_one)
        return [key for key in dict.fromkeys(named) if key not in hidden], over

    def exists(self, key: str) -> bool:
        """Whether `key` is there."""
        with self._doing("look for", key):
            try:
                told = self.client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if _code(error) in ABSENT:
                    return False
                raise
            if "ETag" not in told:
                raise OddAnswer("It says yes without an ETag, as a page that stands in a store's place does.")
        return True

    def list(self, prefix: str) -> list[str]:
        """Keys with this prefix, in order."""
        with self._doing("list", prefix):
            return sorted(
                _key(entry) for page in self._pages("list_objects_v2", prefix) for entry in page.get("Contents", [])
            )

    def delete(self, key: str) -> None:
        """Remove `key`; no error when absent."""
        with self._doing("delete", key):
            self.client.delete_object(Bucket=self._bucket, Key=key)

    def erase(self, key: str) -> None:
        """Remove every version of `key` that nothing holds, the oldest last; what is left stays listed, or hidden where it was so."""

        def remove(version: str) -> None:
            with self._doing("erase", key):
                self.client.delete_object(Bucket=self._bucket, Key=key, VersionId=version)

        with self._doing("erase", key):
            pages = list(self._versions(key))
            marks = [mark for page in pages for mark in page.get("DeleteMarkers", []) if mark["Key"] == key]
            hides, kept = [mark["VersionId"] for mark in marks], _versions_of(key, pages)
        if any(mark["IsLatest"] for mark in marks):  # shown again, a lock of restic's would end all work there
            remove_each(kept, remove)
            remove_each(hides, remove)
        else:
            remove_each((*hides, *kept), remove)

    def hidden(self, prefix: str) -> Sequence[str]:
        """Keys that a delete hid, of which versions are kept."""
        with self._doing("list the versions below", prefix):
            pages = list(self._versions(prefix))
            deleted = {mark["Key"] for page in pages for mark in page.get("DeleteMarkers", []) if mark["IsLatest"]}
            return sorted({v["Key"] for page in pages for v in page.get("Versions", []) if v["Key"] in deleted})

    def locked_until(self, key: str) -> float | None:
        """Until when the bucket's lock holds the newest version of `key`, hidden or not; None where it has none."""
        with self._doing("look for the lock of", key):
            kept = _versions_of(key, self._versions(key))
            if not kept:
                return None
            told: Mapping[str, Any] = self.client.head_object(Bucket=self._bucket, Key=key, VersionId=kept[0])
            until: datetime | None = told.get("ObjectLockRetainUntilDate")
            return None if until is None else until.timestamp()

    def put_over(self, key: str, data: bytes) -> None:
        """Write over whatever is there: nothing here does that, and a probe tries whether a thief could."""
        with self._doing("write over", key):
            self.client.put_object(Bucket=self._bucket, Key=key, Body=data)

    def written_over(self) -> dict[str, Sequence[str]]:
        """Objects of which there is more than what was put first: the versions since, by key."""
        with self._doing("list the versions of", "its objects"):
            found = _since_removed(self._versions(""))
        return {key: versions[1:] for key, versions in found.items() if len(versions) > 1}

    def remove_versions(self, key: str, versions: Iterable[str]) -> None:
        """Remove exactly these versions."""
        with self._doing("remove versions of", key):
            for version in versions:
                self.client.delete_object(Bucket=self._bucket, Key=key, VersionId=version)

    def close(self) -> None:
        """Idle connections end, and none is made any more."""
        self.client.meta.events.register_first("before-send.s3", _refuse_to_send)
        self._direct.close()
        self.client.close()

    def _versions(self, prefix: str) -> Iterable[Mapping[str, Any]]:
        return self._pages("list_object_versions", prefix)

    def _pages(self, listing: Any, prefix: str) -> Iterator[Mapping[str, Any]]:
        """All pages of a listing; OddAnswer where the last one says that there are more, and not where."""
        page: Mapping[str, Any] = {}
        for page in self.client.get_paginator(listing).paginate(Bucket=self._bucket, Prefix=prefix):
            yield page
        if page.get("IsTruncated"):
            raise OddAnswer("It ends a listing halfway.")

    def _doing(self, did: str, key: str) -> AbstractContextManager[None]:
        return explained(self._explain, did, key)

    def _explain(self, did: str, key: str, error: Exception) -> VaultError | VendorClosed:
        """The error that tells an account that is closed from a store that has trouble."""
        return closed(self._vendor, error) or fault(error, silent=_silent(error))(
            f"{self.name} could not {did} {key}",
            _elsewhere(error) or in_words(error),
            f"Look at {self.name}'s endpoint, at whether its bucket is yours, and at the rights of vaults/{self.name}.json in the kit.",
        )


def moment(told: Any) -> datetime:
    """A time as a store tells it, without botocore's guess at its form, which takes half of a listing's CPU."""
    with suppress(ValueError, AttributeError):
        if told.endswith("Z"):
            return datetime.fromisoformat(told)
    return parse_timestamp(told)


def _parsers() -> ResponseParserFactory:
    parsers = ResponseParserFactory()
    parsers.set_parser_defaults(timestamp_parser=moment)
    return parsers


def _versions_of(key: str, pages: Iterable[Mapping[str, Any]]) -> builtins.list[str]:
    """This object's own, the newest first, as a store lists them."""
    return [version["VersionId"] for page in pages for version in page.get("Versions", []) if version["Key"] == key]


def _since_removed(pages: Iterable[Mapping[str, Any]]) -> dict[str, builtins.list[str]]:
    """Versions by key, the oldest first: where the operator removed an object and it was put again, those since; else all.

    Only the operator's principal removes: what was there before, he knew to be none of ours.
    """
    found: dict[str, builtins.list[tuple[datetime, str]]] = {}
    removed: dict[str, datetime] = {}
    for page in pages:
        for version in page.get("Versions", []):
            found.setdefault(version["Key"], []).append((version["LastModified"], version["VersionId"]))
        for mark in page.get("DeleteMarkers", []):
            removed[mark["Key"]] = max(mark["LastModified"], removed.get(mark["Key"], mark["LastModified"]))
    for key, at in removed.items():
        since = [version for version in found.get(key, []) if version[0] >= at]
        found[key] = since or found.get(key, [])
    for versions in found.values():
        versions.reverse()  # a store lists the newest first, also of two at one moment
        versions.sort(key=itemgetter(0))
    return {key: [name for _, name in versions] for key, versions in found.items()}


def _whole(found: Mapping[str, Any], most: int) -> bytes:
    """An object's body; that it is whole is looked at with the last, empty piece."""
    return bounded(iter(partial(found["Body"].read, PIECE), b""), found["Body"].close, most)


def _silent(error: Exception) -> bool:
    """Whether nothing was answered, or that the store is busy (also with the same object) or broken; 501 is an answer."""
    if not isinstance(error, ClientError):
        return isinstance(error, BotoCoreError | OSError)
    status = _status(error)
    return status in {CONFLICT, 429} or (status >= 500 and status != 501)  # noqa: PLR2004


def _elsewhere(error: Exception) -> str:
    """Where a redirect leads, in words; empty where the answer is none."""
    if not isinstance(error, ClientError) or not MOVED <= _status(error) < REFUSED:
        return ""
    headers: Mapping[str, str] = error.response["ResponseMetadata"].get("HTTPHeaders", {})
    told = headers.get("location") or headers.get("x-amz-bucket-region") or "no place that it names"
    return f"It answers {_status(error)}, a redirect to {told}; none is followed. The fleet file names endpoint and region."


def _follow_no_redirect(model: Any, context: dict[str, Any], **_: object) -> None:
    """As though botocore had followed one: asked where a bucket is, a store that sends everything on would be asked again until Python gives up.

    Only that question: AWS tells the bucket's region where the fleet file names another, and botocore signs for that one at the same address.
    """
    if model.name == "HeadBucket":
        context["s3_redirect"]["redirected"] = True


def _refuse_odd(operation_model: Any, response_dict: dict[str, Any], **_: object) -> None:
    """OddAnswer to a success that is none: botocore takes any XML for an empty listing, and any page for a put or a removal."""
    name, body = operation_model.name, response_dict["body"]
    if response_dict["status_code"] >= MOVED:
        return
    if name in LISTINGS and (root := _root(body)) != LISTINGS[name]:
        raise OddAnswer(f"It answers with {root or 'no XML'} where a store answers with {LISTINGS[name]}.")
    if name in WITHOUT_BODY and body:
        raise OddAnswer("It answers with a page where a store says nothing more.")


def _key(entry: Mapping[str, Any]) -> str:
    key = entry["Key"]
    if not isinstance(key, str):
        raise OddAnswer("It lists an object that has more than one name.")
    return key


def _root(body: bytes) -> str:
    """The name of the first element; empty where none begins soon."""
    parser: Any = XMLPullParser(["start"])
    try:
        parser.feed(body[:4096])
        _, element = next(iter(parser.read_events()))
    except (ParseError, StopIteration):
        return ""
    return str(element.tag).rpartition("}")[2]


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
