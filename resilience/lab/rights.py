"""The table of rights in `resilience.model.rights`, as SeaweedFS enforces it."""

from __future__ import annotations

from resilience.lab import places
from resilience.model.rights import RESTIC, SHIP_CREATES, SHIP_LISTS, SHIP_READS

ACCOUNT = "arn:aws:iam::000000000000:user"
"""SeaweedFS has one account; principals in bucket policies are named in it."""


def s3_actions(principal: str, bucket: str) -> list[str]:
    """SeaweedFS identity actions of a principal; for restic's folders the policy takes some away again."""
    if principal == "operator":
        return [f"{verb}:{bucket}" for verb in ("Read", "Write", "List")]
    if principal == "reader":
        return [f"Read:{bucket}", f"List:{bucket}"]
    writes = [f"Write:{bucket}/{key}*" for key in (*SHIP_CREATES, "restic/")]
    reads = [f"Read:{bucket}/{key}*" for key in (*SHIP_READS, "wal/", "restic/")]
    return [*writes, *reads, *[f"List:{bucket}/{key}*" for key in SHIP_LISTS]]


def _readable(objects: str) -> list[str]:
    """What ship may read of restic's repositories."""
    folders = [f"{objects}/restic/*/{part}/*" for part in sorted(RESTIC["read"] - {"config"})]
    return [f"{objects}/restic/*/config", *folders]


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

    Nothing there can forbid ship to write over an object, so the bucket keeps every version,
    and only the operator may remove one.
    """
    objects = f"arn:aws:s3:::{bucket}"
    ship = {"AWS": [f"{ACCOUNT}/ship"]}
    everybody = {"AWS": [f"{ACCOUNT}/{principal}" for principal in ("ship", "reader", "operator")]}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ShipRemovesNothingButLocks",
                "Effect": "Deny",
                "Principal": ship,
                "Action": ["s3:DeleteObject"],
                "NotResource": [f"{objects}/restic/*/{part}/*" for part in sorted(RESTIC["remove"])],
            },
            {
                "Sid": "ShipReadsNoCopies",
                "Effect": "Deny",
                "Principal": ship,
                "Action": ["s3:GetObject", "s3:GetObjectVersion"],
                "NotResource": [
                    *(f"{objects}/{prefix}*" for prefix in SHIP_READS),
                    f"{objects}/wal/*/start*",
                    *_readable(objects),
                ],
            },
            {
                "Sid": "ShipMakesNoRepository",
                "Effect": "Deny",
                "Principal": ship,
                "Action": ["s3:PutObject"],
                "Resource": [f"{objects}/restic/*/config", f"{objects}/restic/*/keys/*"],
            },
            {
                "Sid": "VersionsStay",
                "Effect": "Deny",
                "Principal": {"AWS": [f"{ACCOUNT}/{principal}" for principal in ("ship", "reader")]},
                "Action": ["s3:DeleteObjectVersion"],
                "Resource": [f"{objects}/*"],
            },
            {
                "Sid": "VersioningStays",
                "Effect": "Deny",
                "Principal": everybody,
                "Action": ["s3:PutBucketVersioning"],
                "Resource": [objects, f"{objects}/*"],
            },
        ],
    }
