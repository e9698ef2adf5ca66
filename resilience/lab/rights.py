"""What each of a vault's three principals may do: one table, enforced by each store in its own way.

ship      creates WAL, pictures, ledger, labels and the snapshot's data; never reads or removes them
reader    reads and lists everything
operator  reads, lists, writes and removes every object
"""

from __future__ import annotations

from resilience.lab import places

SHIP_CREATES = (
    "wal/",
    "media/",
    "ledger/",
    "label/",
    "restic/data/",
    "restic/index/",
    "restic/snapshots/",
    "restic/locks/",
)
SHIP_READS = ("epoch/", "restic/config", "restic/keys/", "restic/index/", "restic/snapshots/", "restic/locks/")
"""restic reads its own index and keys to know what is there already; the data stays unreadable."""
SHIP_LISTS = ("epoch/", "restic/")
SHIP_REMOVES = ("restic/locks/",)
ACCOUNT = "arn:aws:iam::000000000000:user"
"""SeaweedFS has one account; principals in bucket policies are named in it."""


def may(principal: str, verb: str, key: str) -> bool:
    """Whether a principal may `create`, `replace`, `read`, `list` or `remove` this key (or prefix)."""
    if principal == "operator":
        return True
    if principal == "reader":
        return verb in {"read", "list"}
    allowed = {"create": SHIP_CREATES, "read": SHIP_READS, "list": SHIP_LISTS, "remove": SHIP_REMOVES}
    return principal == "ship" and key.startswith(allowed.get(verb, ()))


def s3_actions(principal: str, bucket: str) -> list[str]:
    """SeaweedFS identity actions of a principal."""
    if principal == "operator":
        return [f"{verb}:{bucket}" for verb in ("Read", "Write", "List")]
    if principal == "reader":
        return [f"Read:{bucket}", f"List:{bucket}"]
    writes = [f"Write:{bucket}/{key}*" for key in SHIP_CREATES]
    reads = [f"Read:{bucket}/{key}*" for key in SHIP_READS]
    return [*writes, *reads, *[f"List:{bucket}/{key}*" for key in SHIP_LISTS]]


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

    Nothing there can forbid ship to write over an object, so the bucket keeps every version
    and nobody but its root may remove one.
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
                "NotResource": [f"{objects}/{key}*" for key in SHIP_REMOVES],
            },
            {
                "Sid": "VersionsStay",
                "Effect": "Deny",
                "Principal": everybody,
                "Action": ["s3:DeleteObjectVersion"],
                "Resource": [f"{objects}/*"],
            },
        ],
    }
