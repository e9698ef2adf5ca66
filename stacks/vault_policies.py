"""The rights table of `resilience.model.rights`, as AWS and Google enforce it. Pure: policies in, JSON out."""

from __future__ import annotations

import json
from typing import Any

from resilience.model.rights import REPOSITORIES, RESTIC, SHIP_CREATES, SHIP_LISTS, SHIP_READS

Statement = dict[str, Any]
BUCKET_ITSELF = 'resource.type == "storage.googleapis.com/Bucket"'


def aws_policy(principal: str, bucket: str) -> str:
    """The one policy of a principal's IAM user: it has no other right, at no other bucket."""
    statements = {"ship": _ship, "standby": _standby, "reader": _reader, "operator": _operator}[principal](bucket)
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def aws_bucket_policy(bucket: str) -> str:
    """For everybody, whatever other policies say: nothing in clear over the wire."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "OnlyOverTls",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [_arn(bucket), f"{_arn(bucket)}/*"],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ],
        }
    )


def _arn(bucket: str) -> str:
    return f"arn:aws:s3:::{bucket}"


def _allow(sid: str, actions: list[str], resources: list[str], condition: Statement | None = None) -> Statement:
    said: Statement = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return said if condition is None else {**said, "Condition": condition}


def _restic(bucket: str, verb: str, principal: str = "ship") -> list[str]:
    epochs = f"{_arn(bucket)}/{REPOSITORIES[principal]}*"
    parts = [part for part in sorted(RESTIC[verb]) if part != "config"]
    configs = [f"{epochs}/config"] if "config" in RESTIC[verb] else []
    return [*configs, *(f"{epochs}/{part}/*" for part in parts)]


def _ship(bucket: str) -> list[Statement]:
    """Puts, and never over anything: a create without `If-None-Match` is none of its rights.

    AWS answers 404 instead of 403 for what is absent only to who may list; its check for that names no prefix, so the
    condition holds where there is none: ship may see names, and nothing in them.
    """
    objects = _arn(bucket)
    return [
        _allow(
            "CreatesOnce",
            ["s3:PutObject"],
            [f"{objects}/{prefix}*" for prefix in SHIP_CREATES],
            {"Null": {"s3:if-none-match": "false"}},
        ),
        _allow("CreatesSnapshots", ["s3:PutObject", "s3:AbortMultipartUpload"], _restic(bucket, "create")),
        _allow(
            "ReadsEpochs",
            ["s3:GetObject"],
            [*(f"{objects}/{prefix}*" for prefix in SHIP_READS), f"{objects}/wal/*/start*", *_restic(bucket, "read")],
        ),
        _allow(
            "Lists",
            ["s3:ListBucket"],
            [objects],
            {"StringLikeIfExists": {"s3:prefix": [f"{prefix}*" for prefix in SHIP_LISTS]}},
        ),
        _allow("Locates", ["s3:GetBucketLocation"], [objects]),
        _allow("RemovesLocks", ["s3:DeleteObject"], _restic(bucket, "remove")),
    ]


def _standby(bucket: str) -> list[Statement]:
    """Adds a standby's snapshots, and sees nothing else that is here."""
    names = {"StringLikeIfExists": {"s3:prefix": [f"{REPOSITORIES['standby']}*"]}}
    return [
        _allow("CreatesSnapshots", ["s3:PutObject", "s3:AbortMultipartUpload"], _restic(bucket, "create", "standby")),
        _allow("ReadsWhatIsThere", ["s3:GetObject"], _restic(bucket, "read", "standby")),
        _allow("Lists", ["s3:ListBucket"], [_arn(bucket)], names),
        _allow("Locates", ["s3:GetBucketLocation"], [_arn(bucket)]),
        _allow("RemovesLocks", ["s3:DeleteObject"], _restic(bucket, "remove", "standby")),
    ]


def _reader(bucket: str) -> list[Statement]:
    return [
        _allow("Reads", ["s3:GetObject", "s3:GetObjectVersion"], [f"{_arn(bucket)}/*"]),
        _allow("Lists", ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation"], [_arn(bucket)]),
    ]


def _operator(bucket: str) -> list[Statement]:
    """Everything in this bucket, once its lock has run out; nothing that unlocks it, nothing at another."""
    return [
        *_reader(bucket),
        _allow(
            "WritesAndRemoves",
            [
                "s3:PutObject",
                "s3:DeleteObject",
                "s3:DeleteObjectVersion",
                "s3:AbortMultipartUpload",
                "s3:GetObjectRetention",
                "s3:PutObjectRetention",
                "s3:GetBucketVersioning",
                "s3:GetBucketObjectLockConfiguration",
            ],
            [_arn(bucket), f"{_arn(bucket)}/*"],
        ),
    ]


def gcp_bindings(principal: str, bucket: str) -> dict[str, tuple[str, str]]:
    """Per binding its role and the condition (CEL) it holds under; an empty one always holds."""
    if principal == "operator":
        return {"all": ("roles/storage.objectAdmin", "")}
    if principal == "reader":
        return {"reads": ("roles/storage.objectViewer", "")}
    if principal == "standby":
        return {
            "creates": ("roles/storage.objectCreator", _under(bucket, restic="create", principal="standby")),
            "reads": ("roles/storage.objectViewer", _under(bucket, restic="read", principal="standby")),
            "lists": ("roles/storage.objectViewer", BUCKET_ITSELF),
            "locks": ("roles/storage.objectUser", _under(bucket, restic="remove", principal="standby")),
        }
    return {
        "creates": ("roles/storage.objectCreator", _under(bucket, *SHIP_CREATES, restic="create")),
        "reads": ("roles/storage.objectViewer", _under(bucket, *SHIP_READS, restic="read", start=True)),
        "lists": ("roles/storage.objectViewer", BUCKET_ITSELF),
        "locks": ("roles/storage.objectUser", _under(bucket, restic="remove")),
    }


def _under(bucket: str, *prefixes: str, restic: str, start: bool = False, principal: str = "ship") -> str:
    """Objects under these prefixes, and in these folders of each epoch's repository."""
    objects = f"projects/_/buckets/{bucket}/objects/"
    said = [f'resource.name.startsWith("{objects}{prefix}")' for prefix in prefixes]
    for part in sorted(RESTIC[restic]):
        end = part if part == "config" else f"{part}/"
        said.append(f'resource.name.extract("{objects}{REPOSITORIES[principal]}{{epoch}}/{end}") != ""')
    if start:
        said.append(f'resource.name.extract("{objects}wal/{{epoch}}/start") != ""')
    return " || ".join(said)
