"""AWS's interfaces on loopback, by moto: S3 that enforces the policies of IAM users (their conditions it does not read)."""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from resilience.model.rights import PRINCIPALS
from stacks.vault_policies import aws_policy
from tests.vault_servers import Store

REGION = "us-east-1"


@contextmanager
def aws_server(bucket: str) -> Iterator[Store]:
    """A bucket that keeps versions, and its principals with our policies; nobody else may anything."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        _post(url, "/moto-api/reset", b"")
        client("s3", url).create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        credentials = {who: _principal(url, who, bucket) for who in PRINCIPALS}
        _post(url, "/moto-api/reset-auth", b"0")
        yield Store("s3", url, credentials)
        _post(url, "/moto-api/reset-auth", b"inf")
    finally:
        server.stop()


@contextmanager
def empty_server() -> Iterator[str]:
    """All that moto plays of AWS, with nothing of ours in it; where it answers."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        _post(f"http://{host}:{port}", "/moto-api/reset", b"")
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def account(url: str) -> dict[str, str]:
    """Root's credentials as a vendor's provider reads them, and an address that every client of AWS heeds.

    What it asks at a name of the account's own, which nobody here can look up, comes to the same server as to a proxy.
    """
    keys = {"AWS_ACCESS_KEY_ID": "root", "AWS_SECRET_ACCESS_KEY": "root"}
    return {**keys, "AWS_ENDPOINT_URL": url, "HTTP_PROXY": url}


def page_policies() -> dict[str, Any]:
    """The policies that docs/vendors/aws.md tells to make by hand: the operator's, and the boundary of a vault's users."""
    page = (Path(__file__).resolve().parents[1] / "docs/vendors/aws.md").read_text()
    boundary, operator = (json.loads(block.partition("```")[0]) for block in page.split("```json\n")[1:])
    return {"boundary": boundary, "operator": operator}


def image(url: str) -> str:
    """An image that moto knows, of our architecture."""
    known = client("ec2", url).describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])
    return str(known["Images"][0]["ImageId"])


def client(service: str, url: str, credentials: Any = None) -> Any:
    """A client of one service, as root where no credentials are given."""
    keys = credentials or {"access_key_id": "root", "secret_access_key": "root"}
    return boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"],
    )


def _principal(url: str, who: str, bucket: str) -> dict[str, str]:
    iam = client("iam", url)
    iam.create_user(UserName=who)
    iam.put_user_policy(UserName=who, PolicyName="rights", PolicyDocument=aws_policy(who, bucket))
    key = iam.create_access_key(UserName=who)["AccessKey"]
    return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}


def _post(url: str, path: str, data: bytes) -> None:
    plain = {"Content-Type": "text/plain"}
    request = urllib.request.Request(url + path, data=data, headers=plain, method="POST")  # noqa: S310 - loopback
    urllib.request.urlopen(request, timeout=60).close()  # noqa: S310 - loopback
