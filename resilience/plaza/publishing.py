"""Publishing: the signed list goes to every place that it names, and is read back there as clients read it.

`mirrors.json`, in the kit, says how to write to each address. Credentials are in it: keep it as you keep keys.

    [{"address": "https://static.example.org/plaza.json", "put": "https://dav.example.org/plaza.json",
      "headers": {"Authorization": "Basic …"}},
     {"address": "https://lists.example.net/plaza.json", "s3": {"endpoint_url": "https://s3.example.net",
      "region": "eu", "bucket": "lists", "key": "plaza.json", "access_key_id": "…", "secret_access_key": "…"}}]
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from resilience.plaza.endpoints import ASK_S, LONGEST, Listing, NotTrusted, read
from resilience.plaza.errors import PlazaError

JSON = "application/json"
OK = 200
ORIGIN = "https://plaza.invalid"
"""A page that no host was told of: who lets it read lets every page."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """An address where clients look for the list, and how the operator writes there."""

    address: str
    put: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    s3: Mapping[str, str] = field(default_factory=dict)

    def write(self, data: bytes) -> None:
        """Write the list there; raises what the client library raises."""
        if self.s3:
            self._to_bucket(data)
            return
        headers = {**self.headers, "Content-Type": JSON}
        answer = _pool().request("PUT", self.put, body=data, headers=headers)
        if not OK <= answer.status < 300:
            raise urllib3.exceptions.HTTPError(f"PUT {self.put} was answered with status {answer.status}")

    def _to_bucket(self, data: bytes) -> None:
        import boto3

        s3 = self.s3
        client = boto3.client(
            "s3",
            endpoint_url=s3.get("endpoint_url"),
            region_name=s3.get("region", "us-east-1"),
            aws_access_key_id=s3["access_key_id"],
            aws_secret_access_key=s3["secret_access_key"],
        )
        client.put_object(Bucket=s3["bucket"], Key=s3["key"], Body=data, ContentType=JSON, CacheControl="no-cache")


def mirrors(file: Path) -> list[Mirror]:
    """Where and how to write, as the operator's file says."""
    try:
        found = [Mirror(**entry) for entry in json.loads(file.read_text())]
    except (ValueError, TypeError) as error:
        raise PlazaError(
            f"{file} can't be read", str(error), "See `python -m pydoc resilience.plaza.publishing`."
        ) from None
    if wrong := [one.address for one in found if bool(one.put) == bool(one.s3)]:
        raise PlazaError(f"{file} can't be used", f"{wrong[0]} has not one of put and s3", "Say how to write there.")
    return found


def publish(data: bytes, public: Ed25519PublicKey, places: list[Mirror]) -> dict[str, Any]:
    """Bring the list to every mirror; {version, expires, mirrors: {address: what came of it}, problems}."""
    listing = read(data, public)
    if not listing.is_current(datetime.now(UTC)):
        raise PlazaError("The list was not published", f"it ended at {listing.expires}", "Sign it again.")
    strange = sorted({one.address for one in places} - set(listing.mirrors))
    if strange:
        why = f"it does not name {', '.join(strange)}, so no client would look there"
        raise PlazaError("The list was not published", why, "Sign it again with --mirror for each address.")
    with ThreadPoolExecutor(max(1, len(places))) as pool:
        said = dict(
            zip([p.address for p in places], pool.map(lambda p: _bring(data, listing, public, p), places), strict=True)
        )
    problems = {address: what for address, what in said.items() if what not in DONE}
    problems |= dict.fromkeys(set(listing.mirrors) - set(said), "nobody said how to write there")
    return {"version": listing.version, "expires": listing.expires, "mirrors": said, "problems": problems}


WRITTEN, ALREADY = DONE = ("written", "already there")


def _bring(data: bytes, listing: Listing, public: Ed25519PublicKey, place: Mirror) -> str:
    """Write it to one mirror, unless a newer one is there, and read it back; or what went wrong."""
    import botocore.exceptions

    try:
        there = _ask(place.address)
        newest = _version(there.data, public) if there.status == OK else 0
        if newest > listing.version:
            return f"it holds version {newest}, which is newer than {listing.version}; nothing was written"
        if there.data != data:
            place.write(data)
        back = _ask(place.address)
    except (
        urllib3.exceptions.HTTPError,
        botocore.exceptions.BotoCoreError,
        botocore.exceptions.ClientError,
        KeyError,
    ) as error:
        return f"{type(error).__name__}: {error}"[:300]
    if back.status != OK or back.data != data:
        return f"what clients get there is not this list (status {back.status})"
    if back.headers.get("Access-Control-Allow-Origin") not in ("*", ORIGIN):
        return "browsers may not read it: the host must send Access-Control-Allow-Origin: *"
    return ALREADY if there.data == data else WRITTEN


def _version(text: bytes, public: Ed25519PublicKey) -> int:
    """Of a list that we signed; 0 for anything else that lies there."""
    try:
        return read(text, public).version
    except NotTrusted:
        return 0


def _ask(address: str) -> urllib3.BaseHTTPResponse:
    """As a browser on the app's own page asks."""
    answer = _pool().request("GET", address, headers={"Origin": ORIGIN, "Cache-Control": "no-cache"})
    if len(answer.data) > LONGEST:
        raise urllib3.exceptions.HTTPError("the answer is longer than any list")
    return answer


def _pool() -> urllib3.PoolManager:
    return urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(total=ASK_S))
