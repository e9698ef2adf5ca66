"""The table of rights in `resilience.model.rights`, as SeaweedFS enforces it."""

from __future__ import annotations

from resilience.lab import places
from resilience.model.rights import PRINCIPALS, REPOSITORIES, RESTIC, SHIP_CREATES, SHIP_LISTS, SHIP_READS

ACCOUNT = "arn:aws:iam::000000000000:user"
"""SeaweedFS has one account; principals in bucket policies are named in it."""


def s3_actions(principal: str, bucket: str) -> list[str]:
    """SeaweedFS identity actions of a principal; for restic's folders the policy takes some away again."""
    if principal == "operator":
        return [f"{verb}:{bucket}" for verb in ("Read", "Write", "List")]
    if principal == "reader":
        return [f"Read:{bucket}", f"List:{bucket}"]
    if principal == "standby":
        return [f"{verb}:{bucket}/{REPOSITORIES[principal]}*" for verb in ("Read", "Write", "List")]
    writes = [f"Write:{bucket}/{key}*" for key in (*SHIP_CREATES, "restic/")]
    reads = [f"Read:{bucket}/{key}*" for key in (*SHIP_READS, "wal/", "restic/")]
    return [*writes, *reads, *[f"List:{bucket}/{key}*" for key in SHIP_LISTS]]


def _in_repositories(bucket: str, principal: str, verb: str) -> list[str]:
    """What a principal may read, or remove, of restic's repositories."""
    epochs = f"arn:aws:s3:::{bucket}/{REPOSITORIES[principal]}*"
    return [f"{epochs}/{part}" if part == "config" else f"{epochs}/{part}/*" for part in sorted(RESTIC[verb])]


def _as(*principals: str) -> dict[str, list[str]]:
    return {"AWS": [f"{ACCOUNT}/{principal}" for principal in principals]}


def s3_identities(root: dict[str, str], principals: dict[str, dict[str, str]]) -> dict[str, object]:
    """SeaweedFS's configuration of who there is."""
    identities = [_identity("root", root, ["Admin"])]
    for principal, credentials in principals.items():
        identities.append(_identity(principal, credentials, s3_actions(principal, places.VAULT_BUCKET)))
    return {"identities": identities}


def _identity(name: str, credentials: dict[str, str], actions: list[str]) -> dict[str, object]:
    keys = {"accessKey": credentials["access_key_id"], "secretKey": credentials["secret_access_key"]}
    return {"name": name, "credentials": [keys], "actions": actions}


def s3_policy(bucket: str) -> dict[str, object]:
    """Who may write may also delete in SeaweedFS; this takes it away again.

    Nothing there can forbid who creates to write over an object, so the bucket keeps every version,
    and only the operator may remove one.
    """
    objects = f"arn:aws:s3:::{bucket}"
    read = [*(f"{objects}/{prefix}*" for prefix in SHIP_READS), f"{objects}/wal/*/start*"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            *_only_adds(bucket, "ship", read),
            *_only_adds(bucket, "standby", []),
            {
                "Sid": "VersionsStay",
                "Effect": "Deny",
                "Principal": _as(*(who for who in PRINCIPALS if who != "operator")),
                "Action": ["s3:DeleteObjectVersion"],
                "Resource": [f"{objects}/*"],
            },
            {
                "Sid": "VersioningStays",
                "Effect": "Deny",
                "Principal": _as(*PRINCIPALS),
                "Action": ["s3:PutBucketVersioning"],
                "Resource": [objects, f"{objects}/*"],
            },
        ],
    }


def _only_adds(bucket: str, principal: str, read: list[str]) -> list[dict[str, object]]:
    """Of what it may write, it removes nothing but locks, reads no copies, and makes no repository."""
    name, repositories = principal.capitalize(), f"arn:aws:s3:::{bucket}/{REPOSITORIES[principal]}*"
    return [
        {
            "Sid": f"{name}RemovesNothingButLocks",
            "Effect": "Deny",
            "Principal": _as(principal),
            "Action": ["s3:DeleteObject"],
            "NotResource": _in_repositories(bucket, principal, "remove"),
        },
        {
            "Sid": f"{name}ReadsNoCopies",
            "Effect": "Deny",
            "Principal": _as(principal),
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "NotResource": [*read, *_in_repositories(bucket, principal, "read")],
        },
        {
            "Sid": f"{name}MakesNoRepository",
            "Effect": "Deny",
            "Principal": _as(principal),
            "Action": ["s3:PutObject"],
            "Resource": [f"{repositories}/config", f"{repositories}/keys/*"],
        },
    ]
